package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A diagnostic is one message about the mapping files, for programs.
type diagnostic struct {
	Severity  string `json:"severity"`
	Summary   string `json:"summary"`
	Detail    string `json:"detail,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
}

func diagnosticsOf(diags hcl.Diagnostics) []diagnostic {
	list := []diagnostic{}
	for _, d := range diags {
		j := diagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			j.Severity = "warning"
		}
		if r := d.Subject; r != nil {
			j.File, j.Line, j.Column, j.EndLine, j.EndColumn = filepath.ToSlash(r.Filename), r.Start.Line, r.Start.Column, r.End.Line, r.End.Column
		}
		list = append(list, j)
	}
	return list
}

// A diagnosed error is mapping files, or one sync of them, that cannot be used.
type diagnosed struct {
	files map[string]*hcl.File
	diags hcl.Diagnostics
}

func (d diagnosed) Error() string {
	return "the mapping cannot be used: " + mistakes(d.diags).Error() // names the first and counts the others
}

// mistakes leaves warnings out.
func mistakes(diags hcl.Diagnostics) hcl.Diagnostics {
	return slices.DeleteFunc(slices.Clone(diags), func(d *hcl.Diagnostic) bool { return d.Severity != hcl.DiagError })
}

// printDiagnostics writes messages to stderr: for people with their source lines, for programs as one object.
func (a *app) printDiagnostics(files map[string]*hcl.File, diags hcl.Diagnostics) {
	if len(diags) == 0 {
		return
	}
	if a.json {
		_ = report.Line(a.err, map[string]any{"diagnostics": diagnosticsOf(diags)})
		return
	}
	if err := mapping.WriteDiagnostics(a.err, files, diags, a.style.Color, 0); err != nil {
		fmt.Fprintf(a.err, "Error: %v\n", diags)
	}
}

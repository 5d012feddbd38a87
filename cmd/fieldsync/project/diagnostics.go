package project

import (
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// A Diagnostic is one message about the mapping files, for programs.
type Diagnostic struct {
	Severity  string `json:"severity"`
	Summary   string `json:"summary"`
	Detail    string `json:"detail,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
}

// DiagnosticsOf puts messages in the form for programs; it is never nil.
func DiagnosticsOf(diags hcl.Diagnostics) []Diagnostic {
	list := []Diagnostic{}
	for _, d := range diags {
		j := Diagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail}
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

// A Diagnosed error is mapping files, or one sync of them, that cannot be used.
type Diagnosed struct {
	Files map[string]*hcl.File
	Diags hcl.Diagnostics
}

func (d Diagnosed) Error() string {
	return "the mapping cannot be used: " + Mistakes(d.Diags).Error() // names the first and counts the others
}

// Mistakes leaves warnings out.
func Mistakes(diags hcl.Diagnostics) hcl.Diagnostics {
	return slices.DeleteFunc(slices.Clone(diags), func(d *hcl.Diagnostic) bool { return d.Severity != hcl.DiagError })
}

package mapping

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

func fail(at hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: &at}
}

func warn(at hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	d := fail(at, summary, detail, args...)
	d.Severity = hcl.DiagWarning
	return d
}

// general is an error about no place in a file.
func general(summary, detail string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...)}
}

// at is a range as rules and plans show it.
func at(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }

// didYouMean is a sentence that names the nearest candidate, or all of them where none is near and they are few.
func didYouMean(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" {
		return fmt.Sprintf(" Did you mean %q?", n)
	}
	if len(candidates) > 0 && len(candidates) <= 8 {
		return " There is " + oneOf(candidates) + "."
	}
	return ""
}

func nearest(name string, candidates []string) string {
	best, limit := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance is Levenshtein's, by bytes; good enough to find typing errors.
func distance(a, b string) int {
	if len(a) > 80 || len(b) > 80 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// oneOf lists quoted names with "or" before the last.
func oneOf(names []string) string { return listed(names, "or") }

// allOf lists quoted names with "and" before the last.
func allOf(names []string) string { return listed(names, "and") }

func listed(names []string, last string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	if len(q) < 2 {
		return strings.Join(q, "")
	}
	return strings.Join(q[:len(q)-1], ", ") + " " + last + " " + q[len(q)-1]
}

// WriteDiagnostics shows diags to people, each with the line it is about and the exact characters marked: with
// colour by the terminal's underline, without by a line of carets. Values of variables are never shown: one of
// them may be a password.
func WriteDiagnostics(w io.Writer, files map[string]*hcl.File, diags hcl.Diagnostics, color bool, width int) error {
	for _, d := range diags {
		bare := *d
		bare.Expression, bare.EvalContext = nil, nil
		var b bytes.Buffer
		if err := hcl.NewDiagnosticTextWriter(&b, files, uint(max(width, 0)), color).WriteDiagnostic(&bare); err != nil {
			return err
		}
		text := b.Bytes()
		if !color {
			text = underline(text, files, d.Subject)
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// underline puts carets below the subject's first line in text, which shows it after its number.
func underline(text []byte, files map[string]*hcl.File, subject *hcl.Range) []byte {
	if subject == nil || files[subject.Filename] == nil {
		return text
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	prefix := fmt.Appendf(nil, "%4d: ", subject.Start.Line)
	i := slices.IndexFunc(lines, func(l []byte) bool { return bytes.HasPrefix(l, prefix) })
	if i < 0 {
		return text
	}
	line := bytes.TrimRight(lines[i][len(prefix):], "\r\n")
	from := min(columnByte(line, subject.Start.Column), len(line))
	to := len(line)
	if subject.End.Line == subject.Start.Line {
		to = min(max(columnByte(line, subject.End.Column), from), len(line))
	}
	var marks strings.Builder
	marks.WriteString(strings.Repeat(" ", len(prefix)))
	for _, r := range string(line[:from]) {
		if r != '\t' {
			r = ' '
		}
		marks.WriteRune(r)
	}
	marks.WriteString(strings.Repeat("^", max(1, utf8.RuneCount(line[from:to]))) + "\n")
	return bytes.Join(slices.Insert(lines, i+1, []byte(marks.String())), nil)
}

// columnByte is where the given column (from 1, in characters) starts in line.
func columnByte(line []byte, column int) int {
	at := 0
	for range column - 1 {
		if at >= len(line) {
			break
		}
		_, n := utf8.DecodeRune(line[at:])
		at += n
	}
	return at
}

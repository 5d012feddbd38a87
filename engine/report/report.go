// Package report shows plans, results and what waits: as text for people and as JSON for programs.
//
// It decides nothing and knows no system: what it prints is in package plan, or in the small structs of this
// package. Text is the same for the same input, whatever the terminal, except for colour, which [Style] asks
// for. What systems and people wrote is made harmless before it is printed: characters that a terminal would
// obey, or that would hide their neighbours, are shown as escapes. Start with [Plan]. Errors come from the
// writer, or from the items handed in.
package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// A Style says how text may look. The zero Style is plain.
type Style struct {
	Color bool
}

// Colours by meaning. Sequences are written only when the Style asks for them.
var (
	green  = text.Colors{text.FgGreen}
	yellow = text.Colors{text.FgYellow}
	red    = text.Colors{text.FgRed}
	faint  = text.Colors{text.Faint}
	bold   = text.Colors{text.Bold}
)

func (s Style) paint(c text.Colors, str string) string {
	if !s.Color || str == "" {
		return str
	}
	return c.EscapeSeq() + str + text.EscapeReset
}

// OK, Bad and Bold paint a word for callers that print a line of their own.
func (s Style) OK(str string) string   { return s.paint(green, str) }
func (s Style) Bad(str string) string  { return s.paint(red, str) }
func (s Style) Bold(str string) string { return s.paint(bold, str) }

// Dim paints what matters less.
func (s Style) Dim(str string) string { return s.paint(faint, str) }

// An out collects text and remembers the first error, so that printing reads straight.
type out struct {
	*bufio.Writer
	Style
}

func newOut(w io.Writer, st Style) *out { return &out{bufio.NewWriter(w), st} }

// line prints its parts, without spaces at the end.
func (o *out) line(parts ...string) {
	o.WriteString(strings.TrimRight(strings.Join(parts, ""), " "))
	o.WriteByte('\n')
}

// pad fills str up to width columns and leaves at least two spaces behind it, except that a column which is
// exactly one short of width keeps its single space: names and what follows still read apart.
func pad(str string, width int) string {
	n := width - text.StringWidth(str)
	if n < 1 {
		n = 2
	}
	return str + strings.Repeat(" ", n)
}

// Count writes n with commas between thousands.
func Count(n int64) string {
	if n < 0 {
		return "-" + Count(-n)
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// some writes n with the word that fits it: "1 create", "2 updates".
func some(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

package expression

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Within gives src the bytes of its file. Positions are found without them too, except in strings that write a
// character as \u…, or a tab as \t, where the whole string is underlined instead.
func Within(src hcl.Expression, file []byte) hcl.Expression {
	if file == nil {
		return src
	}
	return located{src, file}
}

type located struct {
	hcl.Expression
	file []byte
}

// Range maps characters from (inclusive) to to (exclusive) of the string that src holds, counted in runes after
// decoding, to their place in the file. Where that cannot be told it is the range of src.
func Range(src hcl.Expression, from, to int) hcl.Range {
	t, diags := decode(src, nil)
	if diags.HasErrors() {
		return src.Range()
	}
	return t.rng(from, to)
}

// A text is a decoded string that knows where its characters stand in the file.
type text struct {
	src     string
	full    hcl.Range // of the whole HCL expression, with its quotes
	literal hcl.Range // of the content
	raw     []byte    // the content as written; nil when positions inside are not known
	offset  []int     // by rune of src, and one past the end: its first byte in raw
}

// decode evaluates src to the string it holds.
func decode(src hcl.Expression, ctx *hcl.EvalContext) (*text, hcl.Diagnostics) {
	var file []byte
	if l, ok := src.(located); ok {
		src, file = l.Expression, l.file
	}
	full := src.Range()
	inner := src
	for {
		p, ok := inner.(*hclsyntax.ParenthesesExpr)
		if !ok {
			break
		}
		inner = p.Expression
	}
	if lit, quoted, ok := literalOf(inner, full); ok {
		t := &text{src: lit.Val.AsString(), full: inner.Range(), literal: lit.SrcRange}
		t.locate(file, quoted)
		return t, nil
	}
	v, diags := src.Value(ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	refuse := func(detail string) (*text, hcl.Diagnostics) {
		return nil, hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Not an expression", Detail: detail, Subject: full.Ptr(),
			Expression: src, EvalContext: ctx,
		}}
	}
	if v.IsMarked() {
		return refuse("A secret may not become part of an expression: expressions are shown in plans and errors.")
	}
	if !v.IsKnown() || v.IsNull() {
		return refuse("An expression is written as a string; this has no value.")
	}
	v, err := convert.Convert(v, cty.String)
	if err != nil {
		return refuse("An expression is written as a string, in quotes or as a heredoc.")
	}
	return &text{src: v.AsString(), full: full, literal: full}, nil
}

// literalOf finds the only literal of a string without interpolation.
func literalOf(e hcl.Expression, full hcl.Range) (lit *hclsyntax.LiteralValueExpr, quoted, ok bool) {
	t, isTemplate := e.(*hclsyntax.TemplateExpr)
	if !isTemplate || len(t.Parts) != 1 {
		return nil, false, false
	}
	lit, ok = t.Parts[0].(*hclsyntax.LiteralValueExpr)
	if !ok || lit.Val.Type() != cty.String || !lit.Val.IsKnown() || lit.Val.IsNull() {
		return nil, false, false
	}
	// Only a quoted string has its content right after a one-byte opener, on the same line.
	open, first := t.SrcRange.Start, lit.SrcRange.Start
	return lit, open.Line == first.Line && first.Byte-open.Byte == 1, true
}

// locate fills raw and offset. Without the file's bytes it writes the content as HCL would have it; when that has
// the length of what stands in the file, the positions are the same.
func (t *text) locate(file []byte, quoted bool) {
	start, end := t.literal.Start.Byte, t.literal.End.Byte
	if file != nil && start >= 0 && start <= end && end <= len(file) {
		t.raw = file[start:end]
	} else {
		t.raw = rewrite(t.src, quoted, end-start)
	}
	if t.raw == nil && t.src != "" {
		return
	}
	if t.offset = align(t.src, t.raw, quoted); t.offset == nil {
		t.raw = nil
	}
}

// rewrite writes src as the n bytes that it most likely stands as in the file, or returns nil.
func rewrite(src string, quoted bool, n int) []byte {
	plain := strings.NewReplacer("${", "$${", "%{", "%%{")
	if quoted {
		plain = strings.NewReplacer("${", "$${", "%{", "%%{", "\n", `\n`, "\r", `\r`, `"`, `\"`, `\`, `\\`)
	}
	raw := plain.Replace(src)
	if len(raw) == n {
		return []byte(raw)
	}
	if quoted {
		return nil
	}
	// An indented heredoc: the same number of blanks before every line but the first, which the range skips
	// already, and the blank ones.
	lines := strings.SplitAfter(raw, "\n")
	indented := 0
	for _, line := range lines[1:] {
		if line != "" && strings.TrimSpace(line) != "" {
			indented++
		}
	}
	missing := n - len(raw)
	if indented == 0 || missing < 0 || missing%indented != 0 {
		return nil
	}
	blanks := strings.Repeat(" ", missing/indented)
	var b strings.Builder
	for i, line := range lines {
		if i > 0 && line != "" && strings.TrimSpace(line) != "" {
			b.WriteString(blanks)
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}

// align walks src and raw together and returns where in raw each rune of src starts, or nil when raw is not a
// way to write src.
func align(src string, raw []byte, quoted bool) []int {
	offsets := make([]int, 0, len(src)+1)
	at := 0
	lineStart := false // the first line's indentation is outside the literal's range
	for i, r := range src {
		if lineStart && !quoted {
			at += leadingBlanks(string(raw[min(at, len(raw)):])) - leadingBlanks(src[i:])
		}
		lineStart = r == '\n'
		if at < 0 || at >= len(raw) {
			return nil
		}
		offsets = append(offsets, at)
		n := written(raw[at:], r, quoted)
		if n == 0 {
			return nil
		}
		at += n
	}
	return append(offsets, min(at, len(raw)))
}

// leadingBlanks counts the bytes of white space that s starts with, up to the end of the line.
func leadingBlanks(s string) int {
	for i, r := range s {
		if r == '\n' || r == '\r' || !unicode.IsSpace(r) {
			return i
		}
	}
	return len(s)
}

// written returns how many bytes at the start of raw stand for r; 0 when they do not. Of an escaped ${ the
// doubled sign belongs to the sign.
func written(raw []byte, r rune, quoted bool) int {
	s := string(raw[:min(len(raw), 10)])
	if quoted && strings.HasPrefix(s, `\`) && len(s) > 1 {
		switch s[1] {
		case 'u':
			return min(6, len(s))
		case 'U':
			return min(10, len(s))
		}
		return 2
	}
	if (r == '$' || r == '%') && (strings.HasPrefix(s, "$${") || strings.HasPrefix(s, "%%{")) {
		return 2
	}
	if got, n := utf8.DecodeRuneInString(s); got == r {
		return n
	}
	return 0
}

// rng is the range in the file of the runes from (inclusive) to to (exclusive).
func (t *text) rng(from, to int) hcl.Range {
	if t.offset == nil {
		return t.full
	}
	runes := []rune(t.src)
	from, to = max(0, min(from, len(runes))), max(0, min(to, len(runes)))
	// At the end of the text there is nothing to underline: take the last character before it that shows.
	if strings.TrimSpace(string(runes[from:max(from, to)])) == "" {
		for from = min(from, len(runes)-1); from > 0 && unicode.IsSpace(runes[from]); {
			from--
		}
		if from < 0 {
			return t.full
		}
		to = from + 1
	}
	return hcl.Range{
		Filename: t.literal.Filename,
		Start:    t.position(t.offset[from]),
		End:      t.position(t.end(to)),
	}
}

// end is where the rune before to ends in raw: not where the next one starts, which may be past an indentation.
func (t *text) end(to int) int {
	if to == 0 {
		return 0
	}
	at := t.offset[to]
	if i := strings.LastIndexByte(string(t.raw[t.offset[to-1]:at]), '\n'); i >= 0 {
		return t.offset[to-1] + i
	}
	return at
}

// whole is the range of the content without surrounding white space.
func (t *text) whole() hcl.Range {
	runes := []rune(t.src)
	from, to := 0, len(runes)
	for from < to && unicode.IsSpace(runes[from]) {
		from++
	}
	for to > from && unicode.IsSpace(runes[to-1]) {
		to--
	}
	if from == to {
		return t.full
	}
	return t.rng(from, to)
}

// position counts lines and columns from the start of the literal to byte at of raw, as HCL counts them.
func (t *text) position(at int) hcl.Pos {
	start := t.literal.Start
	if at == 0 {
		return start
	}
	all := func(data []byte, _ bool) (int, []byte, error) { return len(data), data, nil }
	sc := hcl.NewRangeScannerFragment(t.raw[:at], "", hcl.Pos{Line: start.Line, Column: start.Column}, all)
	if !sc.Scan() {
		return start
	}
	end := sc.Range().End
	end.Byte = start.Byte + at
	return end
}

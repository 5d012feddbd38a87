package sim

import (
	"cmp"
	"strconv"
	"strings"
)

// A path is a field name, or several joined by dots that walk references.
type path struct {
	name string
	base *table
	cols []*column
	at   int // of the first column in base, to save a look-up per row
}

// path resolves a name on a table; nil if it leads nowhere.
func (s *Server) path(t *table, name string) *path {
	p := &path{name: name, base: t}
	for i, part := range strings.Split(name, ".") {
		if i > 0 {
			t = s.tables[p.cols[i-1].ref]
		}
		if t == nil {
			return nil
		}
		c := t.column(part)
		if c == nil {
			return nil
		}
		p.cols = append(p.cols, c)
	}
	p.at = p.base.at[p.cols[0].name]
	return p
}

func (p *path) last() *column { return p.cols[len(p.cols)-1] }

// end follows the references and returns the row that holds the last column; nil where a link is missing.
func (p *path) end(s *Server, r *row) *row {
	for i := range p.cols[:len(p.cols)-1] {
		if r = s.target(p.cols[i], r.get(p.cols[i].name)); r == nil {
			return nil
		}
	}
	return r
}

// value is the raw value at the path's end.
func (p *path) value(s *Server, r *row) string {
	if len(p.cols) == 1 && r.t == p.base {
		if p.at < len(r.v) {
			return r.v[p.at]
		}
		return ""
	}
	if r = p.end(s, r); r == nil {
		return ""
	}
	return r.get(p.last().name)
}

func (p *path) compare(s *Server, a, b *row) int {
	x, y := p.value(s, a), p.value(s, b)
	c := p.last()
	switch {
	case c.numeric():
		return cmp.Compare(number(x), number(y))
	case c.kind == "reference":
		return fold(s.refName(c, x), s.refName(c, y))
	}
	return fold(x, y)
}

// number reads an integer or decimal for sorting; no value sorts before all.
func number(v string) float64 {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return -1 << 62
	}
	return n
}

// fold compares two strings without case, as the usual database collation does.
func fold(a, b string) int {
	if a == b {
		return 0
	}
	return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
}

// target is the row that a reference value points to.
func (s *Server) target(c *column, value string) *row {
	t := s.tables[c.ref]
	if t == nil || value == "" {
		return nil
	}
	if c.refKey != "" {
		return s.findOne(c.ref, c.refKey, value)
	}
	return t.find(value)
}

// refName is what people see of a reference: the display column of its row. A value that points nowhere
// shows as nothing, except for the global domain.
func (s *Server) refName(c *column, value string) string {
	r := s.target(c, value)
	if r == nil {
		if c.kind == "domain_id" || c.refKey != "" {
			return value
		}
		return ""
	}
	return r.get(r.t.displayColumn())
}

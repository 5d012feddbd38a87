package file

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// table is the source of CSV. It keeps the bytes of each record, unlike encoding/csv, which cannot give back a
// carriage return inside quotes.
type table struct {
	feed
	sep     byte
	first   []byte
	last    []byte
	blank   []byte
	fields  []span
	columns []string
	eol     string
}

func newTable(r io.Reader, sep byte) (*table, error) {
	s := &table{feed: newFeed(r), sep: sep, eol: "\n"}
	mark, err := s.mark()
	if err != nil {
		return nil, err
	}
	s.first = bytes.Clone(mark)
	p, err := s.cut()
	if err == io.EOF {
		return nil, invalid(1, "the file has no header line")
	}
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	for i, f := range p.fields {
		name := strings.Clone(text(p.raw, f, nil))
		if before, twice := seen[name]; twice {
			return nil, invalid(p.line, "columns %d and %d of the header are both called %q", before+1, i+1, name)
		}
		seen[name] = i
		s.columns = append(s.columns, name)
	}
	s.first = append(append(append(s.first, p.lead...), p.raw...), s.eol...)
	return s, nil
}

func (s *table) head() []byte { return s.first }
func (s *table) tail() []byte { return s.last }

func (s *table) next() (piece, error) {
	p, err := s.cut()
	if err == nil && len(p.fields) != len(s.columns) {
		return piece{}, invalid(p.line, "%d values for %d columns", len(p.fields), len(s.columns))
	}
	return p, err
}

// cut takes the next record off, skipping empty lines.
func (s *table) cut() (piece, error) {
	s.blank = s.blank[:0]
	for {
		length, used, err := s.split()
		for err == nil && used < 0 {
			if err = s.more(); err == nil {
				length, used, err = s.split()
			}
		}
		if err != nil {
			return piece{}, err
		}
		if used == 0 {
			s.last = s.blank
			return piece{}, io.EOF
		}
		line := s.line
		b := s.use(used)
		if length > 0 {
			if s.columns == nil && bytes.HasSuffix(b, []byte("\r\n")) {
				s.eol = "\r\n"
			}
			return piece{lead: s.blank, raw: b[:length], fields: s.fields, line: line}, nil
		}
		s.blank = append(s.blank, b...)
	}
}

// split finds the fields of the record that rest starts with. used is what it takes with its line end, or -1
// if rest ends before it does.
func (s *table) split() (length, used int, err error) {
	b := s.rest()
	s.fields = s.fields[:0]
	i := 0
	for {
		f := span{from: i}
		if i < len(b) && b[i] == '"' {
			f.quoted = true
			f.from++
			for i++; ; i++ {
				n := bytes.IndexByte(b[i:], '"')
				if n < 0 || i+n+1 == len(b) && !s.end {
					if s.end {
						return 0, 0, invalid(s.line, "a quote is opened and never closed")
					}
					return 0, -1, nil
				}
				if i += n; i+1 < len(b) && b[i+1] == '"' {
					f.doubled = true
					i++
					continue
				}
				break
			}
			f.to = i
			if i++; i < len(b) && b[i] != s.sep && b[i] != '\n' && b[i] != '\r' {
				return 0, 0, invalid(s.line+bytes.Count(b[:i], []byte{'\n'}), "text follows a closing quote; a quote inside a value is written twice")
			}
		} else {
			for i < len(b) && b[i] != s.sep && b[i] != '\n' {
				i++
			}
			if f.to = i; i < len(b) && b[i] == '\n' && i > f.from && b[i-1] == '\r' {
				f.to--
			}
		}
		s.fields = append(s.fields, f)
		end := f.to
		if f.quoted {
			end++
		}
		switch {
		case i == len(b) && !s.end:
			return 0, -1, nil
		case i == len(b):
			return end, i, nil
		case b[i] == s.sep:
			i++
		case b[i] == '\n':
			return end, i + 1, nil
		case i+1 < len(b) && b[i+1] == '\n': // \r\n after a closing quote
			return end, i + 2, nil
		case i+1 == len(b) && !s.end:
			return 0, -1, nil
		case i+1 == len(b):
			return end, i + 1, nil
		default:
			return 0, 0, invalid(s.line, "a carriage return follows a closing quote and ends no line")
		}
	}
}

// text is the content of a field. It points into raw, or into what is appended to arena.
func text(raw []byte, f span, arena *[]byte) string {
	b := raw[f.from:f.to]
	if f.doubled {
		if arena == nil {
			return strings.ReplaceAll(string(b), `""`, `"`)
		}
		from := len(*arena)
		for {
			i := bytes.IndexByte(b, '"')
			if i < 0 {
				break
			}
			*arena = append(*arena, b[:i+1]...)
			b = b[i+2:]
		}
		*arena = append(*arena, b...)
		b = (*arena)[from:]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// quoted is v as a CSV field. Quotes also keep white space at its ends from being trimmed by others.
func quoted(v string, sep byte) string {
	if v == "" || !strings.ContainsAny(v, "\"\r\n"+string(rune(sep))) && v == strings.TrimSpace(v) {
		return v
	}
	return `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
}

// csvDecoder reads and edits CSV records.
type csvDecoder struct {
	header
	sep                          byte
	columns                      []string
	slots                        []int
	key, label, modified, author int
	values                       []record.Value
	arena                        []byte
}

func newCSVDecoder(c *collection, s *table, paths []string) (*csvDecoder, error) {
	d := &csvDecoder{sep: s.sep, columns: s.columns, slots: make([]int, len(paths)), values: make([]record.Value, len(paths))}
	for i, p := range paths {
		if d.slots[i] = d.column(p); d.slots[i] < 0 {
			return nil, d.missing(p)
		}
	}
	for _, f := range []struct {
		name string
		slot *int
	}{{c.Key, &d.key}, {c.Label, &d.label}, {c.Modified, &d.modified}, {c.Author, &d.author}} {
		if *f.slot = d.column(f.name); *f.slot < 0 && f.name != "" {
			return nil, d.missing(f.name)
		}
	}
	return d, nil
}

func (d *csvDecoder) column(name string) int {
	for i, c := range d.columns {
		if c == name && name != "" {
			return i
		}
	}
	return -1
}

func (d *csvDecoder) missing(path string) error {
	hint := "its columns are " + strings.Join(d.columns, ", ")
	if near := connectors.Nearest(path, d.columns); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &connectors.Error{Kind: connectors.ErrConfig, Detail: fmt.Sprintf("there is no column %q", path), Hint: hint, Fields: []string{path}}
}

func (d *csvDecoder) keyOf(p piece) (string, error) {
	d.arena = d.arena[:0]
	k := text(p.raw, p.fields[d.key], &d.arena)
	if k == "" {
		return "", invalid(p.line, "the record has no key in column %q", d.columns[d.key])
	}
	return k, nil
}

func (d *csvDecoder) value(p piece, slot int) record.Value {
	s := text(p.raw, p.fields[slot], &d.arena)
	switch {
	case s == "":
		return record.NullValue
	case !utf8.ValidString(s):
		return record.UnknownValue
	}
	return record.OfText(s)
}

func (d *csvDecoder) show(p piece) (record.Record, error) {
	key, err := d.keyOf(p)
	if err != nil {
		return record.Record{}, err
	}
	for i, slot := range d.slots {
		d.values[i] = d.value(p, slot)
	}
	get := func(slot int) string {
		if slot < 0 {
			return ""
		}
		return text(p.raw, p.fields[slot], &d.arena)
	}
	r := d.header.of(p.raw, key, get(d.label), get(d.author))
	r.Values = d.values
	if d.modified >= 0 {
		r.Modified = moment(get(d.modified))
	}
	return r, nil
}

func moment(s string) time.Time {
	t, err := record.ParseTime(s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// edit returns the record with some fields changed and every other byte as it was.
func (d *csvDecoder) edit(p piece, f record.Fields) ([]byte, error) {
	out := make([]byte, 0, len(p.raw)+64)
	if err := d.check(f); err != nil {
		return nil, err
	}
	from := 0
	for i, c := range d.columns {
		v, given := f[c]
		if !given || !v.Known() {
			continue
		}
		d.arena = d.arena[:0]
		if old := d.value(p, i); old == v || old.Empty() && v.Plain() == "" {
			continue
		}
		at, to := p.fields[i].from, p.fields[i].to
		if p.fields[i].quoted {
			at, to = at-1, to+1
		}
		out = append(append(out, p.raw[from:at]...), quoted(v.Plain(), d.sep)...)
		from = to
	}
	return append(out, p.raw[from:]...), nil
}

func (d *csvDecoder) check(f record.Fields) error {
	for path := range f {
		if d.column(path) < 0 {
			return d.missing(path)
		}
	}
	return nil
}

// create makes a record.
func (d *csvDecoder) create(key string, _ bool, f record.Fields) ([]byte, error) {
	if err := d.check(f); err != nil {
		return nil, err
	}
	var out []byte
	for i, c := range d.columns {
		if i > 0 {
			out = append(out, d.sep)
		}
		if v := f[c].Plain(); i == d.key {
			out = append(out, quoted(key, d.sep)...)
		} else {
			out = append(out, quoted(v, d.sep)...)
		}
	}
	if len(d.columns) == 1 && len(out) == 0 {
		return nil, &connectors.Error{Kind: connectors.ErrRefused, Detail: "the record is empty"}
	}
	return out, nil
}

// reparse finds the fields of a record that was edited.
func (d *csvDecoder) reparse(raw []byte) (piece, error) {
	s := &table{feed: feed{buf: raw, end: true, line: 1}, sep: d.sep, columns: d.columns}
	return s.next()
}

func (d *csvDecoder) numeric(piece) bool { return false }

package file

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/valyala/fastjson"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// jsonDecoder reads and edits JSON objects.
type jsonDecoder struct {
	header
	parser                       fastjson.Parser
	paths                        [][]string
	known                        []bool // by path: records of this file have it, so one that lacks it is empty there
	key, label, modified, author []string
	values                       []record.Value
	scratch                      []byte
	format                       string
	types                        func(path string) record.Type
}

func newJSONDecoder(c *collection, paths []string) *jsonDecoder {
	d := &jsonDecoder{key: split(c.Key), label: split(c.Label), modified: split(c.Modified), author: split(c.Author),
		paths: make([][]string, len(paths)), known: make([]bool, len(paths)), values: make([]record.Value, len(paths)), format: c.Format, types: c.typeOf}
	for i, p := range paths {
		d.paths[i], d.known[i] = split(p), c.knows(p)
	}
	return d
}

// split takes a dotted path apart; nil for "".
func split(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, ".")
}

func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (d *jsonDecoder) parse(p piece) (*fastjson.Value, error) {
	v, err := d.parser.Parse(alias(p.raw))
	if err != nil {
		return nil, invalid(p.line, "not JSON: %s", firstLine(err.Error()))
	}
	if v.Type() != fastjson.TypeObject {
		return nil, invalid(p.line, "not a JSON object but a %s", v.Type())
	}
	return v, nil
}

// firstLine keeps the parser's message from quoting half of the record.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "; unparsed tail")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

func (d *jsonDecoder) keyOf(p piece) (string, error) {
	v, err := d.parse(p)
	if err != nil {
		return "", err
	}
	return d.keyIn(v, p)
}

// keyIn is a text as it is and a number as it is spelled.
func (d *jsonDecoder) keyIn(v *fastjson.Value, p piece) (string, error) {
	m := v.Get(d.key...)
	kind := fastjson.TypeNull
	if m != nil {
		kind = m.Type()
	}
	switch kind {
	case fastjson.TypeString:
		if k := alias(m.GetStringBytes()); k != "" && utf8.ValidString(k) {
			return k, nil
		}
	case fastjson.TypeNumber:
		d.scratch = m.MarshalTo(d.scratch[:0])
		return string(d.scratch), nil
	case fastjson.TypeNull:
	default:
		return "", invalid(p.line, "the key in %q is neither text nor a number", strings.Join(d.key, "."))
	}
	return "", invalid(p.line, "the record has no key in %q", strings.Join(d.key, "."))
}

// plain is the member at path as bare text; "" for none.
func (d *jsonDecoder) plain(v *fastjson.Value, path []string) (string, error) {
	if path == nil {
		return "", nil
	}
	m := v.Get(path...)
	if m != nil && m.Type() == fastjson.TypeString {
		return alias(m.GetStringBytes()), nil // the short way for the usual key
	}
	val, err := d.value(m)
	return val.Plain(), err
}

// value makes a value of what fastjson found; Absent for nil. Its text points into the parser.
func (d *jsonDecoder) value(m *fastjson.Value) (record.Value, error) {
	if m == nil {
		return record.Value{}, nil
	}
	switch m.Type() {
	case fastjson.TypeNull:
		return record.NullValue, nil
	case fastjson.TypeTrue:
		return record.OfBool(true), nil
	case fastjson.TypeFalse:
		return record.OfBool(false), nil
	case fastjson.TypeString:
		s := alias(m.GetStringBytes())
		if !utf8.ValidString(s) {
			return record.UnknownValue, nil
		}
		return record.OfText(s), nil
	case fastjson.TypeNumber:
		if n, err := m.Int64(); err == nil {
			return record.OfInt(n), nil
		}
	}
	d.scratch = m.MarshalTo(d.scratch[:0])
	dec := json.NewDecoder(bytes.NewReader(d.scratch))
	dec.UseNumber()
	var a any
	if err := dec.Decode(&a); err != nil {
		return record.Value{}, fmt.Errorf("%.60q is not JSON", d.scratch)
	}
	v, err := record.Of(a)
	if err != nil {
		return record.UnknownValue, nil
	}
	return v, nil
}

func (d *jsonDecoder) show(p piece) (record.Record, error) {
	v, err := d.parse(p)
	if err != nil {
		return record.Record{}, err
	}
	key, err := d.keyIn(v, p)
	if err != nil {
		return record.Record{}, err
	}
	for i, path := range d.paths {
		m := v.Get(path...)
		if m == nil && d.known[i] {
			d.values[i] = record.NullValue
			continue
		}
		if d.values[i], err = d.value(m); err != nil {
			return record.Record{}, invalid(p.line, "%s: %v", strings.Join(path, "."), err)
		}
	}
	label, err := d.plain(v, d.label)
	if err != nil {
		return record.Record{}, invalid(p.line, "%v", err)
	}
	author, err := d.plain(v, d.author)
	if err != nil {
		return record.Record{}, invalid(p.line, "%v", err)
	}
	r := d.header.of(p.raw, key, label, author)
	r.Values = d.values
	if d.modified != nil {
		if at, err := d.plain(v, d.modified); err == nil {
			r.Modified = moment(at)
		}
	}
	return r, nil
}

// edit returns the object with some members changed and every other byte as it was.
func (d *jsonDecoder) edit(p piece, f record.Fields) ([]byte, error) {
	paths := make([]string, 0, len(f))
	for path, v := range f {
		if v.Known() {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	raw := bytes.Clone(p.raw)
	for _, path := range paths {
		v, err := d.parse(piece{raw: raw, line: p.line})
		if err != nil {
			return nil, err
		}
		want := d.fit(path, f[path])
		m := v.Get(split(path)...)
		if old, err := d.value(m); err == nil && (old == want || m == nil && want.Empty() && d.types(path).Kind != record.Absent) {
			continue
		}
		enc, err := encode(want)
		if err != nil {
			return nil, err
		}
		if raw, err = splice(raw, split(path), enc); err != nil {
			return nil, &connectors.Error{Kind: connectors.ErrRefused, Detail: path + ": " + err.Error(), Fields: []string{path}}
		}
	}
	return raw, nil
}

// fit gives v the kind that the path has elsewhere in the file, if it can have it.
func (d *jsonDecoder) fit(path string, v record.Value) record.Value {
	if fit, err := d.types(path).Coerce(v); err == nil {
		return fit
	}
	return v
}

func encode(v record.Value) ([]byte, error) {
	if v.Kind() == record.Time {
		v = record.OfText(v.Plain())
	}
	return v.MarshalJSON()
}

// splice puts the JSON text enc at path into the object raw, making the members that are missing. raw is known
// to be valid.
func splice(raw []byte, path []string, enc []byte) ([]byte, error) {
	i := bytes.IndexByte(raw, '{')
	if i < 0 {
		return nil, fmt.Errorf("there is no object to hold %q", path[0])
	}
	open := i
	empty := true
	for i++; ; {
		i = blank(raw, i)
		if i >= len(raw) {
			return nil, fmt.Errorf("the object does not end")
		}
		if raw[i] == '}' {
			break
		}
		if raw[i] == ',' {
			i++
			continue
		}
		empty = false
		from := i
		to, ok := skipString(raw, from)
		if !ok {
			return nil, fmt.Errorf("the object does not end")
		}
		var name string
		if err := json.Unmarshal(raw[from:to], &name); err != nil {
			return nil, err
		}
		i = blank(raw, to)
		i = blank(raw, i+1) // the colon
		end, _ := skipValue(raw, i)
		if name == path[0] {
			if len(path) > 1 {
				inner := raw[i:end]
				if string(inner) == "null" {
					inner = []byte("{}")
				}
				var err error
				if enc, err = splice(inner, path[1:], enc); err != nil {
					return nil, err
				}
			}
			return slices.Concat(raw[:i], enc, raw[end:]), nil
		}
		i = end
	}
	for n := len(path) - 1; n > 0; n-- {
		name, err := encode(record.OfText(path[n]))
		if err != nil {
			return nil, err
		}
		enc = slices.Concat([]byte("{"), name, []byte(":"), enc, []byte("}"))
	}
	name, err := encode(record.OfText(path[0]))
	if err != nil {
		return nil, err
	}
	// The new member stands last, spaced as the first one is.
	comma := ","
	if empty {
		comma = ""
	}
	at := len(bytes.TrimRight(raw[:i], " \t\r\n"))
	colon := ":"
	if bytes.Contains(raw, []byte(`": `)) {
		colon = ": "
	}
	space := raw[open+1 : blank(raw, open+1)]
	if len(space) == 0 && !empty && colon == ": " {
		space = []byte(" ")
	}
	return slices.Concat(raw[:at], []byte(comma), space, name, []byte(colon), enc, raw[at:]), nil
}

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// create makes an object with the key first and the other members by name.
func (d *jsonDecoder) create(key string, numeric bool, f record.Fields) ([]byte, error) {
	k, err := encode(record.OfText(key))
	if err != nil {
		return nil, err
	}
	if _, err := strconv.ParseInt(key, 10, 64); err == nil && numeric {
		k = []byte(key)
	}
	raw, err := splice([]byte("{}"), d.key, k)
	if err != nil {
		return nil, err
	}
	rest := record.Fields{}
	for path, v := range f {
		if path != strings.Join(d.key, ".") {
			rest[path] = v
		}
	}
	return d.edit(piece{raw: raw}, rest)
}

func (d *jsonDecoder) reparse(raw []byte) (piece, error) { return piece{raw: raw, line: 1}, nil }

// numeric reports whether the key of a record is a JSON number.
func (d *jsonDecoder) numeric(p piece) bool {
	v, err := d.parse(p)
	if err != nil {
		return false
	}
	m := v.Get(d.key...)
	return m != nil && m.Type() == fastjson.TypeNumber
}

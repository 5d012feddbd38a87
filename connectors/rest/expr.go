package rest

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

// An expr is a compiled expression of a description. A plain chain of members (body.issues) is followed in the
// decoded JSON itself, which saves turning whole pages into values.
type expr struct {
	root  string // of a plain chain: item or body
	chain []string
	prog  *expression.Program
}

var plainChain = regexp.MustCompile(`^\s*(item|body)((?:\.[A-Za-z_]\w*)*)\s*$`)

// A view is what an expression may look at.
type view struct {
	item   any // decoded JSON
	body   any
	header http.Header
	status int
	value  record.Value
	detail any // of a comment: what its own request answered
}

// vars are the names that expressions of a place may use, and what they are.
func vars(names ...string) []expression.Variable {
	var list []expression.Variable
	for _, n := range names {
		v := expression.Variable{Name: n}
		switch n {
		case "item":
			v.Open = true
		case "header":
			v.Open, v.Rest = true, record.Type{Kind: record.Text}
		case "status":
			v.Fields = map[string]record.Type{"": {Kind: record.Int}}
		default:
			v.Fields = map[string]record.Type{"": {}}
		}
		list = append(list, v)
	}
	return list
}

// raw is what e gives, as decoded JSON.
func (e *expr) raw(v *view) (any, error) {
	if e.chain != nil || e.root != "" {
		at := v.item
		if e.root == "body" {
			at = v.body
		}
		for _, name := range e.chain {
			m, ok := at.(map[string]any)
			if !ok {
				return nil, nil
			}
			at = m[name]
		}
		return at, nil
	}
	out, err := e.run(v)
	return out.Any(), err
}

// get is what e gives, as a value; "" and what is not there are null.
func (e *expr) get(v *view) (record.Value, error) {
	if e == nil {
		return record.NullValue, nil
	}
	if e.root != "" {
		a, err := e.raw(v)
		if err != nil {
			return record.Value{}, err
		}
		return valueOf(a)
	}
	out, err := e.run(v)
	if err == nil && out.Text() == "" && out.Kind() == record.Text {
		out = record.NullValue
	}
	return out, err
}

// text is what e gives, as bare text.
func (e *expr) text(v *view) (string, error) {
	out, err := e.get(v)
	return out.Plain(), err
}

// truth is what a condition gives; otherwise where there is none.
func (e *expr) truth(v *view, otherwise bool) (bool, error) {
	if e == nil {
		return otherwise, nil
	}
	out, err := e.run(v)
	return out.Bool(), err
}

func (e *expr) run(v *view) (record.Value, error) {
	if e.root != "" {
		return e.get(v)
	}
	out, err := e.prog.Run(map[string]expression.Getter{
		"item": func(path string) record.Value { return known(at(v.item, path)) },
		"body": func(string) record.Value { return known(v.body, true) },
		"header": func(path string) record.Value {
			if h := v.header.Get(path); h != "" {
				return record.OfText(h)
			}
			return record.NullValue
		},
		"status": func(string) record.Value { return record.OfInt(int64(v.status)) },
		"detail": func(string) record.Value { return known(v.detail, true) },
		"value":  func(string) record.Value { return v.value },
	}, time.Time{})
	if err != nil {
		return record.Value{}, fmt.Errorf("expression at %w", err)
	}
	return out, nil
}

// at finds a dotted path in decoded JSON. A member whose name has dots itself is found too.
func at(node any, path string) (any, bool) {
	m, ok := node.(map[string]any)
	if !ok {
		return nil, false
	}
	if v, ok := m[path]; ok {
		return v, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if v, ok := at(m[path[:i]], path[i+1:]); ok {
			return v, true
		}
	}
	return nil, false
}

// known is a member for expressions: null where it is not there.
func known(a any, there bool) record.Value {
	v, err := record.Of(a)
	if !there || err != nil {
		return record.NullValue
	}
	return v
}

// valueOf makes a value of decoded JSON. Tools use "" and null alike for a field that is empty; here it is null.
func valueOf(a any) (record.Value, error) {
	if s, ok := a.(string); ok && s == "" {
		return record.NullValue, nil
	}
	return record.Of(a)
}

// instant reads the ways in which tools write a time: text, or seconds or milliseconds since 1970.
func instant(v record.Value) time.Time {
	switch v.Kind() {
	case record.Time:
		return v.Time()
	case record.Int, record.Float:
		n := v.Float()
		if n > 1e11 {
			n /= 1000
		}
		if n <= 0 {
			return time.Time{}
		}
		return time.UnixMilli(int64(n * 1000)).UTC()
	case record.Text:
		t, err := parseTime(v.Text())
		if err == nil {
			return t
		}
	}
	return time.Time{}
}

// parseTime reads a time as text. Beside what record reads, a zone without a colon.
func parseTime(s string) (time.Time, error) {
	t, err := record.ParseTime(s)
	if err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 MST"} {
		if t, lerr := time.Parse(layout, strings.TrimSpace(s)); lerr == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, err
}

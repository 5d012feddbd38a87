package rest

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A template is text with placeholders such as {key} that are filled in for each request.
type template string

var placeholder = regexp.MustCompile(`\{([a-z]+)\}`)

// has reports whether t names a placeholder.
func (t template) has(name string) bool { return strings.Contains(string(t), "{"+name+"}") }

// fill puts values in, each changed by escape where that is not nil. What names no value stays as it is.
func (t template) fill(values map[string]string, escape func(string) string) string {
	return placeholder.ReplaceAllStringFunc(string(t), func(m string) string {
		v, ok := values[m[1:len(m)-1]]
		if !ok {
			return m
		}
		if escape != nil {
			v = escape(v)
		}
		return v
	})
}

// quoted is s as a text of a query language: in double quotes, with a backslash before what would end it. JQL and
// TicketSQL read it so.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// A param is one query parameter.
type param struct {
	name, value template
}

// query fills in parameters. One whose value comes out empty is not sent.
func query(params []param, values map[string]string) url.Values {
	q := url.Values{}
	for _, p := range params {
		if v := p.value.fill(values, nil); v != "" {
			q.Set(p.name.fill(values, nil), v)
		}
	}
	return q
}

// over returns base with the parameters of more in it: those of the same name are replaced.
func over(base, more []param) []param {
	out := slices.Clone(base)
	for _, p := range more {
		if i := slices.IndexFunc(out, func(b param) bool { return b.name == p.name }); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
	return out
}

// encode writes q with spaces as %20, which every server reads.
func encode(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

// texts are those inside a value of JSON.
func texts(v any) []string {
	var list []string
	filled(v, func(s string) any {
		list = append(list, s)
		return nil
	})
	return list
}

// filled is a value of JSON with something in the place of each text.
func filled(v any, change func(string) any) any {
	switch v := v.(type) {
	case string:
		return change(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = filled(e, change)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			out[name] = filled(e, change)
		}
		return out
	}
	return v
}

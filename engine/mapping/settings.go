package mapping

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// strangers are names in a connection that its connector does not know.
type strangers []stranger

type stranger struct {
	at    hcl.Range
	say   string
	meant string // the setting that it was most likely meant to be
}

// unknownSettings finds what body has and a struct of type t, which it is decoded into, has no hcl tag for. kind
// is what the body is of; more are names that somebody else reads.
func unknownSettings(kind string, t reflect.Type, body *hclsyntax.Body, more ...string) strangers {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	inner := map[string]reflect.Type{} // blocks by name; settings that are none have no type
	for i := range t.NumField() {
		name, rest, _ := strings.Cut(t.Field(i).Tag.Get("hcl"), ",")
		switch rest {
		case "remain", "body":
			return nil
		case "label":
			continue
		}
		if name != "" {
			inner[name] = nil
		}
		if rest == "block" {
			inner[name] = t.Field(i).Type
		}
	}
	known := slices.Sorted(maps.Keys(inner))
	all := slices.Concat(known, more)
	slices.Sort(all)
	var out strangers
	strange := func(name string, at hcl.Range) {
		if slices.Contains(all, name) {
			return
		}
		article := "A"
		if strings.ContainsAny(kind[:1], "aeiou") {
			article = "An"
		}
		s := stranger{at: at, meant: nearest(name, all)}
		if s.meant == "" {
			s.say = fmt.Sprintf("%s %s has no %q. It has %s.", article, kind, name, allOf(all))
		} else {
			s.say = fmt.Sprintf("%s %s has no %q. Did you mean %q? It has %s.", article, kind, name, s.meant, allOf(all))
		}
		out = append(out, s)
	}
	for _, a := range body.Attributes {
		strange(a.Name, a.NameRange)
	}
	for _, b := range body.Blocks {
		strange(b.Type, b.TypeRange)
		if inner[b.Type] != nil {
			out = append(out, unknownSettings(b.Type+" block", inner[b.Type], b.Body)...)
		}
	}
	return out
}

// instead puts what is known of the strangers in the place of what the decoder says of them. A setting that is
// missing because it stands there under another name is one mistake, not two.
func (ss strangers) instead(diags hcl.Diagnostics) hcl.Diagnostics {
	var out hcl.Diagnostics
	for _, s := range ss {
		out = append(out, fail(s.at, "Unknown setting", "%s", s.say))
	}
	for _, d := range diags {
		if !slices.ContainsFunc(ss, func(s stranger) bool { return s.explains(d) }) {
			out = append(out, d)
		}
	}
	return out
}

func (s stranger) explains(d *hcl.Diagnostic) bool {
	if d.Subject == nil {
		return false
	}
	missing := d.Summary == fmt.Sprintf("Missing %s block", s.meant) ||
		d.Summary == "Missing required argument" && strings.Contains(d.Detail, fmt.Sprintf("%q", s.meant))
	return missing || *d.Subject == s.at
}

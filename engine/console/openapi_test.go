package console_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// TestTheAPIFileIsThatOfTheHandlers holds openapi.json to the routes and to the types of their answers. UPDATE=1 writes it
// anew, to be reviewed as a diff.
func TestTheAPIFileIsThatOfTheHandlers(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(describe()); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("openapi.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(file), b.String()); d != "" {
		t.Errorf("openapi.json is not what the handlers answer; UPDATE=1 writes it anew (-file +handlers):\n%s", d)
	}
	doc, err := openapi3.NewLoader().LoadFromData(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	// The file against the routes once more, whatever the generator makes of them.
	var want, got []string
	for _, r := range console.New(nil, console.Options{}).Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		if strings.HasPrefix(path, "/api/v1/") && !strings.HasSuffix(path, "/openapi.json") {
			want = append(want, method+" "+path)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			got = append(got, method+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("routes that the file does not have, or has too many (-routes +file):\n%s", d)
	}
}

// describe makes the description of the API from the routes and the types of the answers.
func describe() map[string]any {
	schemas := map[string]any{}
	problem := answer("what went wrong, and the way out", ref(reflect.TypeFor[console.Problem](), schemas))
	paths := map[string]any{}
	for _, d := range console.Describe() {
		op := map[string]any{"summary": d.Says, "description": "Needs the role " + d.Role.String() + ".",
			"responses": map[string]any{"200": answer("the answer", ref(reflect.TypeOf(d.Answer), schemas)), "default": problem}}
		params := []any{}
		for _, name := range console.PathParams(d.Path) {
			params = append(params, map[string]any{"name": name, "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
		}
		for _, p := range d.Query {
			params = append(params, map[string]any{"name": p.Name, "in": "query", "description": p.Says, "required": p.Must, "schema": map[string]any{"type": "string"}})
		}
		if len(params) > 0 {
			op["parameters"] = params
		}
		if d.Method == "POST" {
			fields, must := map[string]any{}, []string{}
			for _, p := range d.Form {
				fields[p.Name] = map[string]any{"type": "string", "description": p.Says}
				if p.Must {
					must = append(must, p.Name)
				}
			}
			form := map[string]any{"type": "object", "properties": fields, "additionalProperties": false}
			if len(must) > 0 {
				form["required"] = must
			}
			media := map[string]any{"schema": form}
			op["requestBody"] = map[string]any{"required": len(must) > 0, "content": map[string]any{"application/json": media, "application/x-www-form-urlencoded": media}}
		}
		item, _ := paths[d.Path].(map[string]any)
		if item == nil {
			item = map[string]any{}
			paths[d.Path] = item
		}
		item[strings.ToLower(d.Method)] = op
	}
	return map[string]any{
		"openapi": "3.0.3",
		"info": map[string]any{"title": "fieldsync", "version": "1", "license": map[string]any{"name": "Apache-2.0"},
			"description": "What the pages of the console show and do, for programs. Values of sensitive fields and credentials are never in an answer."},
		"paths": paths,
		"components": map[string]any{"schemas": schemas, "securitySchemes": map[string]any{
			"token": map[string]any{"type": "http", "scheme": "bearer", "description": "Not needed on the machine of the service itself, unless it asks for a log-in."}}},
		"security": []any{map[string]any{"token": []any{}}, map[string]any{}},
	}
}

func answer(says string, schema any) map[string]any {
	return map[string]any{"description": says, "content": map[string]any{"application/json": map[string]any{"schema": schema}}}
}

// ref is the schema of a type; that of a struct stands among schemas under the type's name.
func ref(t reflect.Type, schemas map[string]any) map[string]any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[record.Value]():
		return map[string]any{"description": "a value as its system has it; a time is {\"$time\": …}, what is not known {\"$unknown\": true} or {\"$absent\": true}", "nullable": true}
	case reflect.TypeFor[plan.Kind]():
		return map[string]any{"type": "string", "enum": []string{"create", "update", "comment", "attachment", "delete"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return ref(t.Elem(), schemas)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint8:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": ref(t.Elem(), schemas)}
	case reflect.Array:
		return map[string]any{"type": "array", "items": ref(t.Elem(), schemas), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": ref(t.Elem(), schemas)}
	case reflect.Struct:
		name := strings.ReplaceAll(t.String(), ".", "_")
		if _, ok := schemas[name]; !ok {
			schemas[name] = nil // a type that holds itself
			schemas[name] = object(t, schemas)
		}
		return map[string]any{"$ref": "#/components/schemas/" + name}
	}
	panic("no schema for " + t.String())
}

func object(t reflect.Type, schemas map[string]any) map[string]any {
	props, must := map[string]any{}, []string{}
	var members func(t reflect.Type)
	members = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "": // its members stand here, as json writes them
				members(f.Type)
				continue
			case name == "-", !f.IsExported():
				continue
			case name == "":
				name = f.Name
			}
			if _, above := props[name]; above {
				continue
			}
			props[name] = ref(f.Type, schemas)
			if !strings.Contains(opts, "omit") {
				must = append(must, name)
			}
		}
	}
	members(t)
	s := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	if len(must) > 0 {
		slices.Sort(must)
		s["required"] = must
	}
	return s
}

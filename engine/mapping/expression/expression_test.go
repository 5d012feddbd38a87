package expression_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/record"
)

func kind(k record.Kind) record.Type { return record.Type{Kind: k} }

// ticketScope is what most expressions here may name.
func ticketScope() expression.Scope {
	return expression.Scope{
		Vars: []expression.Variable{
			{Name: "ticket", Fields: map[string]record.Type{
				"title": kind(record.Text), "status": kind(record.Text), "resolution": kind(record.Text),
				"priority": kind(record.Int), "cost": kind(record.Float), "active": kind(record.Bool),
				"opened": kind(record.Time), "tags": kind(record.List), "payload": {},
				"caller": kind(record.Text), "caller.email": kind(record.Text), "group.name": kind(record.Text),
			}},
			{Name: "alarm", Fields: map[string]record.Type{"Incident Status": kind(record.Text)}},
			{Name: "row", Open: true, Fields: map[string]record.Type{"id": kind(record.Text)}},
			{Name: "author", Fields: map[string]record.Type{"": kind(record.Text)}},
		},
		Locals: map[string]any{"label": "noc", "names": map[string]any{"p1": "high"}, "column": "title", "none": nil, "limit": 2, "list": []any{"b", "a"}},
	}
}

// attributes parses a file of attributes.
func attributes(t testing.TB, src string) (map[string]hcl.Expression, *hcl.File) {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(src), "sync.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	attrs, diags := f.Body.JustAttributes()
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	exprs := map[string]hcl.Expression{}
	for name, a := range attrs {
		exprs[name] = a.Expr
	}
	return exprs, f
}

func quote(code string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{", "\n", `\n`).Replace(code) + `"`
}

func compile(t testing.TB, code string, scope expression.Scope, want expression.Want) *expression.Program {
	t.Helper()
	attrs, _ := attributes(t, "a = "+quote(code)+"\n")
	p, diags := expression.Compile(attrs["a"], nil, scope, want)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", code, diags)
	}
	return p
}

func getter(values map[string]any) expression.Getter {
	return func(path string) record.Value {
		v, err := record.Of(values[path])
		if err != nil {
			panic(err)
		}
		return v
	}
}

var began = time.Date(2027, 3, 1, 12, 30, 0, 0, time.UTC)

var filled = map[string]expression.Getter{
	"ticket": getter(map[string]any{
		"title": "Ölpumpe 7", "status": "open", "priority": 2, "cost": 2.5, "active": true,
		"opened": time.Date(2027, 2, 28, 23, 0, 0, 0, time.UTC), "tags": []any{"net", "core"},
		"payload": map[string]any{"deep": map[string]any{"er": 1}}, "resolution": "done",
		"caller": "u1", "caller.email": "a@b.c", "group.name": "NOC",
	}),
	"alarm":  getter(map[string]any{"Incident Status": "2"}),
	"row":    getter(map[string]any{"id": "7", "any.thing": "x"}),
	"author": getter(map[string]any{"": "Ann"}),
}

// empty is the same records with every field null.
var empty = map[string]expression.Getter{
	"ticket": getter(nil), "alarm": getter(nil), "row": getter(nil), "author": getter(nil),
}

func TestExpressionsGiveValues(t *testing.T) {
	// Functions of the language leave the lists they are given alone: constants are shared between runs.
	lists := []any{[]any{"a", "b"}, []any{"a", "b"}, []any{"b", "a", "c"}, []any{"b", "a"}}
	tests := []struct {
		code   string
		filled any
		empty  any // an error is a text that starts with "!"
	}{
		{`ticket.title`, "Ölpumpe 7", nil},
		{`ticket.priority <= 2 ? ['1', '1'] : ['2', '3']`, []any{"1", "1"}, "!ticket.priority is null"},
		{`(ticket.priority ?? 3) <= 2`, true, false},
		{`ticket.resolution ?? 'x'`, "done", "x"},
		{`ticket.status == nil`, false, true},
		{`ticket.status == null`, false, true},
		{`ticket.status ?? null`, "open", nil},
		{`ticket.active == true ? 'x' : null`, "x", nil},
		{`'null' == null`, false, false},
		{`len(filter([1, null, 2], # != null))`, 2, 2},
		{`ticket.status == 'open'`, true, false},
		{`ticket.priority == 2`, true, false},
		{`ticket.priority != 2`, false, true},
		{`ticket.status in ['open', '']`, true, false},
		{`ticket.priority in [0, 2]`, true, false},
		{`ticket.status contains 'pe'`, true, false},
		{`ticket.title matches '^Ö'`, true, false},
		{`ticket.cost * 2`, 5, "!ticket.cost is null"},
		{`ticket.cost == 2.5`, true, false},
		{`ticket.title + '!'`, "Ölpumpe 7!", "!ticket.title is null"},
		{`not ticket.active`, false, "!ticket.active is null"},
		{`ticket.active && ticket.priority > 1`, true, "!ticket.active is null"},
		{`ticket.caller`, "u1", nil},
		{`ticket.caller.email`, "a@b.c", nil},
		{`ticket?.group.name`, "NOC", nil},
		{`ticket["caller.email"]`, "a@b.c", nil},
		{`ticket.payload.deep.er`, 1, "!ticket.payload is null"},
		{`ticket.payload?.deep?.er`, 1, nil},
		{`alarm["Incident Status"]`, "2", nil},
		{`alarm["Incident Status"] == "2"`, true, false},
		{`row.any.thing`, "x", nil},
		{`row.id + '-'`, "7-", "!row.id is null"},
		{`'[' + (author ?? '?') + ']'`, "[Ann]", "[?]"},
		{`ticket.tags[0]`, "net", "!ticket.tags is null"},
		{`ticket.tags | map(upper(#)) | join('/')`, "NET/CORE", "!ticket.tags is null"},
		{`filter(ticket.tags ?? [], # != 'net')`, []any{"core"}, []any{}},
		{`let t = ticket.title; t + t`, "Ölpumpe 7Ölpumpe 7", "!ticket.title is null"},
		{`cut(ticket.title, 2)`, "Öl", nil},
		{`cut('ab', 9)`, "ab", "ab"},
		{`prefixed(ticket.title, 'DOWN', ['UP', 'DOWN'])`, "DOWN Ölpumpe 7", nil},
		{`prefixed('UP Host is DOWN', 'DOWN', ['UP', 'DOWN'])`, "DOWN Host is DOWN", "DOWN Host is DOWN"},
		{`prefixed('UP DOWN UP  Host', 'DOWN', ['UP', 'DOWN'])`, "DOWN Host", "DOWN Host"},
		{`prefixed('UPPER Host', 'UP', ['UP', 'DOWN'])`, "UP UPPER Host", "UP UPPER Host"},
		{`prefixed('[UP] Host', '[DOWN]', ['[UP]', '[DOWN]'])`, "[DOWN] Host", "[DOWN] Host"},
		{`[prefixed('UP', 'DOWN', ['UP', 'DOWN']), prefixed('UP Host', '', ['UP', '']), prefixed('Host', 'UP', [])]`,
			[]any{"DOWN", "Host", "UP Host"}, []any{"DOWN", "Host", "UP Host"}},
		{`prefixed('UP Host', 'DOWN', split('UP,DOWN', ','))`, "DOWN Host", "DOWN Host"},
		{`prefixed('UP Host', 'DOWN', row.any.thing)`, "!prefixed takes a text, a word and a list of words, not a text, a text and a text", "!row.any.thing is null"},
		{`time_format(ticket.opened, '02.01.2006')`, "28.02.2027", nil},
		{`time_format('2027-01-02 03:04:05', '15h')`, "03h", "03h"},
		{`ticket.opened > run.time - duration('24h')`, true, "!ticket.opened is null"},
		{`let a = [3, 1, 2]; let b = sort(a); [a, b]`, []any{[]any{3, 1, 2}, []any{1, 2, 3}}, []any{[]any{3, 1, 2}, []any{1, 2, 3}}},
		{`[sortBy(local.list, #), reverse(local.list), concat(local.list, ['c']), local.list]`, lists, lists},
		{`run.time`, began, began},
		{`date('2027-01-02').Year()`, 2027, 2027},
		{`time_format(run.time.In(timezone('Europe/Brussels')), '15:04')`, "13:30", "13:30"},
		{`local.label + local.names.p1`, "nochigh", "nochigh"},
		{`local.names[ticket.status ?? 'p1'] ?? 'low'`, "low", "high"},
		{`local.none ?? 'z'`, "z", "z"},
		{`ticket[local.column] == nil`, false, true},
		{`ticket.priority > local.limit`, false, "!ticket.priority is null"},
		{`split('a,b', ',')`, []any{"a", "b"}, []any{"a", "b"}},
		{`1..3`, []any{1, 2, 3}, []any{1, 2, 3}},
		{`groupBy([1, 2, 3], # % 2 == 0 ? 'even' : 'odd')`, map[string]any{"even": []any{2}, "odd": []any{1, 3}}, map[string]any{"even": []any{2}, "odd": []any{1, 3}}},
		{`{'a': ticket.priority}`, map[string]any{"a": 2}, map[string]any{"a": nil}},
		{`ticket.caller == 'u1' and 'caller' in ticket`, true, false},
		{`if ticket.active ?? false { 'on' } else { 'off' }`, "on", "off"},
		{`1 / 0`, "!division by zero", "!division by zero"},
		{`duration('1h')`, "!is a duration", "!is a duration"},
		{`ticket.title[0:1] ?? ''`, "!not valid UTF-8", "!ticket.title is null"},
		{`timezone('Local')`, "!a time zone is written", "!a time zone is written"},
		{`date('2027-01-01', '2006-01-02', 'Local')`, "!a time zone is written", "!a time zone is written"},
		{`ticket.payload < 3`, "!object < int", "!ticket.payload is null"},
	}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			p := compile(t, tt.code, ticketScope(), expression.Any)
			for name, c := range map[string]struct {
				vars map[string]expression.Getter
				want any
			}{"filled": {filled, tt.filled}, "empty": {empty, tt.empty}} {
				// Twice: the second run uses the first one's frame.
				for range 2 {
					got, err := p.Run(c.vars, began)
					if s, ok := c.want.(string); ok && strings.HasPrefix(s, "!") {
						if err == nil || !strings.Contains(err.Error(), s[1:]) {
							t.Errorf("%s: got %v, error %v; want an error with %q", name, got, err, s[1:])
						} else if !strings.HasPrefix(err.Error(), "sync.hcl:1,") {
							t.Errorf("%s: no position in %q", name, err)
						}
						continue
					}
					want, _ := record.Of(c.want)
					if err != nil || got != want {
						t.Errorf("%s: got %v, error %v; want %v", name, got, err, want)
					}
				}
			}
		})
	}
}

func TestARecordThatDoesNotExistHasNullsOnly(t *testing.T) {
	p := compile(t, `ticket.title == nil and ticket.caller.email == nil and alarm["Incident Status"] == nil`, ticketScope(), expression.Bool)
	v, err := p.Run(map[string]expression.Getter{"ticket": nil}, began)
	if err != nil || v != record.OfBool(true) {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestATextComparedWithALiteralSaysHowToWriteIt(t *testing.T) {
	for code, say := range map[string]string{
		`ticket.title == 1`:             "Values of ticket.title are text: write '1'.",
		`-2.5 != ticket.title`:          "Values of ticket.title are text: write '-2.5'.",
		`ticket.title == true`:          "Values of ticket.title are text: write 'true'.",
		`ticket.caller.email == 1`:      "Values of ticket.caller.email are text: write '1'.",
		`alarm['Incident Status'] == 2`: `Values of alarm["Incident Status"] are text: write '2'.`,
		`ticket.title in [1, 2]`:        "Values of ticket.title are text: write ['1', '2'].",
		`ticket.title <= 2`:             "Values of ticket.title are text: write int(ticket.title).",
		`ticket.title * 1.5`:            "Values of ticket.title are text: write float(ticket.title).",
		`ticket.title < ticket.cost`:    "Convert with string",
		`ticket.active == 1`:            "Convert with string",
	} {
		attrs, _ := attributes(t, "a = "+quote(code)+"\n")
		_, diags := expression.Compile(attrs["a"], nil, ticketScope(), expression.Any)
		if len(diags) != 1 || !strings.Contains(diags[0].Detail, say) {
			t.Errorf("%s: %v", code, diags)
		}
	}
}

func TestAnUnknownPathMakesTheResultUnknown(t *testing.T) {
	for _, code := range []string{`ticket.title`, `ticket.title ?? 'x'`, `toJSON(ticket)`} {
		for _, missing := range []record.Value{record.UnknownValue, {}} {
			p := compile(t, code, ticketScope(), expression.Any)
			v, err := p.Run(map[string]expression.Getter{"ticket": func(string) record.Value { return missing }}, began)
			if err != nil || v != record.UnknownValue {
				t.Errorf("%s over %v: got %v, %v", code, missing, v, err)
			}
		}
	}
}

func TestReadsNamesThePathsOfEachVariable(t *testing.T) {
	all := []string{"", "active", "caller", "caller.email", "cost", "group.name", "opened", "payload", "priority", "resolution", "status", "tags", "title"}
	scope := ticketScope()
	attrs, _ := attributes(t, "both = \"a + b\"\n")
	scope.Functions = []expression.Function{{Name: "both", Params: []string{"a", "b"}, Expr: attrs["both"]}}
	tests := map[string]map[string][]string{
		`ticket.title`: {"ticket": {"title"}},
		`ticket.title == alarm["Incident Status"] ? ticket.caller.email : ticket.title`: {"ticket": {"caller.email", "title"}, "alarm": {"Incident Status"}},
		`both(ticket.title, alarm["Incident Status"])`:                                  {"ticket": {"title"}, "alarm": {"Incident Status"}},
		`map(ticket.tags, # + ticket.status)`:                                           {"ticket": {"status", "tags"}},
		`let a = ticket.priority; {'k': [a, ticket.cost]}`:                              {"ticket": {"cost", "priority"}},
		`ticket.payload.x.y`:               {"ticket": {"payload"}},
		`row.any.thing.else`:               {"row": {"any.thing.else"}},
		`row.id`:                           {"row": {"id"}},
		`toJSON(row)`:                      {"row": {"", "id"}},
		`author`:                           {"author": {""}},
		`keys(ticket)`:                     {"ticket": all},
		`ticket[alarm['Incident Status']]`: {"ticket": all, "alarm": {"Incident Status"}},
		`run.time > date('2027-01-01') ? local.label : 'x'`: {},
	}
	for code, want := range tests {
		if diff := cmp.Diff(want, compile(t, code, scope, expression.Any).Reads()); diff != "" {
			t.Errorf("%s: %s", code, diff)
		}
	}
}

func TestTheResultMustBeWhatThePlaceAsksFor(t *testing.T) {
	refused := []struct {
		code string
		want expression.Want
		say  string
	}{
		{`ticket.title`, expression.Bool, "type text"},
		{`ticket.priority + 1`, expression.Bool, "type int"},
		{`nil`, expression.Bool, "type null"},
		{`ticket.active`, expression.List, "type bool"},
		{`'a'`, expression.List, "a list, such as"},
	}
	for _, tt := range refused {
		attrs, f := attributes(t, "a = \" "+tt.code+" \"\n")
		_, diags := expression.Compile(attrs["a"], nil, ticketScope(), tt.want)
		if len(diags) != 1 || !strings.Contains(diags[0].Detail, tt.say) {
			t.Errorf("%s: %v", tt.code, diags)
		} else if got := string(diags[0].Subject.SliceBytes(f.Bytes)); got != tt.code {
			t.Errorf("%s: underlines %q", tt.code, got)
		}
	}
	// Where the type is known only at run time, the run says it.
	for _, code := range []string{`ticket.payload`, `row.id ?? ticket.payload`} {
		for _, want := range []expression.Want{expression.Bool, expression.List} {
			if v, err := compile(t, code, ticketScope(), expression.Any).Run(filled, began); err != nil || !v.Known() {
				t.Errorf("%s: %v, %v", code, v, err)
			}
			if code == `ticket.payload` {
				if v, err := compile(t, code, ticketScope(), want).Run(filled, began); err == nil || !strings.Contains(err.Error(), "the result is") {
					t.Errorf("%s: %v, %v", code, v, err)
				}
			}
		}
	}
	if v, err := compile(t, `ticket.active`, ticketScope(), expression.Bool).Run(empty, began); err == nil {
		t.Errorf("null passed as a condition: %v", v)
	}
	if v, err := compile(t, `[ticket.title, nil]`, ticketScope(), expression.List).Run(filled, began); err != nil || len(v.Items()) != 2 {
		t.Errorf("list: %v, %v", v, err)
	}
}

func TestWorkIsBounded(t *testing.T) {
	long := make([]any, 3000)
	for i := range long {
		long[i] = i
	}
	vars := map[string]expression.Getter{"ticket": getter(map[string]any{"tags": long, "title": "x"})}
	scope := ticketScope()
	src := "f0 = \"x + x\"\n"
	scope.Functions = nil
	for i := range 40 {
		src += fmt.Sprintf("f%d = \"f%d(x) ?? f%d(x)\"\n", i+1, i, i)
	}
	src = strings.ReplaceAll(src, "??", "+")
	attrs, _ := attributes(t, src)
	for i := range 41 {
		scope.Functions = append(scope.Functions, expression.Function{Name: fmt.Sprintf("f%d", i), Params: []string{"x"}, Expr: attrs[fmt.Sprintf("f%d", i)]})
	}
	for _, code := range []string{
		`map(1..10000000, #)`,
		`count(ticket.tags, count(ticket.tags, true) > 0)`, // allocates nothing
		`reduce(1..60, #acc + #acc, ticket.title)`,         // doubles
		`let a = repeat(ticket.title, 900000); let b = a + a; let c = b + b; c + c`,
		`f40(ticket.title)`, // 2^40 calls
	} {
		_, err := compile(t, code, scope, expression.Any).Run(vars, began)
		if err == nil || !strings.Contains(err.Error(), "too much work") {
			t.Errorf("%s: %v", code, err)
		}
	}
	if v, err := compile(t, `sum(map(ticket.tags, # * 2))`, scope, expression.Any).Run(vars, began); err != nil || v != record.OfInt(2999*3000) {
		t.Errorf("honest work: %v, %v", v, err)
	}
}

func TestAProgramMayRunInManyPlacesAtOnce(t *testing.T) {
	attrs, _ := attributes(t, "twice = \"x + x\"\n")
	scope := ticketScope()
	scope.Functions = []expression.Function{{Name: "twice", Params: []string{"x"}, Expr: attrs["twice"]}}
	p := compile(t, `let a = ticket.title; map(1..3, twice(a)) | join('-')`, scope, expression.Any)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			word := strconv.Itoa(i)
			want := strings.TrimSuffix(strings.Repeat(word+word+"-", 3), "-")
			for range 200 {
				v, err := p.Run(map[string]expression.Getter{"ticket": getter(map[string]any{"title": word})}, began)
				if err != nil || v.Text() != want {
					t.Errorf("got %v, %v; want %s", v, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFunctionsSeeTheirParametersAndLocals(t *testing.T) {
	attrs, f := attributes(t, `
who     = "greet(name ?? local.label) + '!'"
greet   = "'hi ' + n"
full    = "r.group.name + ' ' + r.title"
loops   = "turns(a)"
turns   = "loops(a) + 1"
peeks   = "a + ticket.title"
clock   = "run.time"
broken  = "a +"
uses    = "broken(1)"
`)
	fn := func(name string, params ...string) expression.Function {
		return expression.Function{Name: name, Params: params, Expr: attrs[name]}
	}
	scope := ticketScope()
	scope.Functions = []expression.Function{fn("who", "name"), fn("greet", "n"), fn("full", "r"), fn("loops", "a"), fn("turns", "a"),
		fn("peeks", "a"), fn("clock"), fn("broken", "a"), fn("uses")}

	for code, want := range map[string]string{`who(nil)`: "hi noc!", `who(ticket.status)`: "hi open!", `full(ticket)`: "NOC Ölpumpe 7", `ticket.status | greet()`: "hi open",
		`cut(greet(ticket.status), 4)`: "hi o", `prefixed(cut(greet(who(nil)), 5), 'X', ['ho'])`: "X hi hi", `cut(upper(full(ticket)), 3)`: "NOC"} {
		v, err := compile(t, code, scope, expression.Any).Run(filled, began)
		if err != nil || v.Text() != want {
			t.Errorf("%s: got %v, %v; want %q", code, v, err, want)
		}
	}
	_, err := compile(t, `1 > 2 ? 'a' : greet(ticket.title)`, scope, expression.Any).Run(empty, began)
	if err == nil || err.Error() != "sync.hcl:3,18: greet: n is null; give it a value with n ?? …" {
		t.Errorf("an error inside a function: %v", err)
	}

	var got []string
	for _, d := range expression.Check(nil, scope) {
		got = append(got, fmt.Sprintf("%d %s: %s", d.Subject.Start.Line, d.Summary, d.Subject.SliceBytes(f.Bytes)))
	}
	want := []string{"6 Function calls itself: loops", "7 Unknown name: ticket", "8 Unknown name: run", "9 Invalid expression: +"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	for _, f := range []expression.Function{
		{Name: "upper", Expr: attrs["greet"]}, {Name: "cut", Expr: attrs["greet"]}, {Name: "a-b", Expr: attrs["greet"]}, {Name: "let", Expr: attrs["greet"]},
		{Name: "ok", Params: []string{"n", "n"}, Expr: attrs["greet"]}, {Name: "ok", Params: []string{"local"}, Expr: attrs["greet"]},
	} {
		if diags := expression.Check(nil, expression.Scope{Functions: []expression.Function{f}}); !diags.HasErrors() {
			t.Errorf("function %s(%v) was accepted", f.Name, f.Params)
		}
	}
}

func TestInterpolatedExpressions(t *testing.T) {
	attrs, f := attributes(t, `
good   = "ticket.title == '${local.word}'"
bad    = "ticket.titel == '${local.word}'"
secret = "'${local.key}'"
number = 12
list   = ["a"]
none   = null
blank  = "  "
missing = "${local.nope}"
`)
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{"local": cty.ObjectVal(map[string]cty.Value{
		"word": cty.StringVal("Ölpumpe 7"), "key": cty.StringVal("s3cret").Mark("sensitive"),
	})}}
	p, diags := expression.Compile(attrs["good"], ctx, ticketScope(), expression.Bool)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if v, err := p.Run(filled, began); err != nil || !v.Bool() {
		t.Errorf("got %v, %v", v, err)
	}
	for name, want := range map[string]string{
		"bad": `"ticket.titel == '${local.word}'"`, "secret": `"'${local.key}'"`, "list": `["a"]`, "none": "null", "blank": `"  "`, "missing": ".nope",
	} {
		_, diags := expression.Compile(attrs[name], ctx, ticketScope(), expression.Any)
		if len(diags) != 1 {
			t.Errorf("%s: %v", name, diags)
			continue
		}
		if got := string(diags[0].Subject.SliceBytes(f.Bytes)); got != want {
			t.Errorf("%s underlines %q, want %q", name, got, want)
		}
		if strings.Contains(diags.Error(), "s3cret") {
			t.Errorf("%s shows the secret: %v", name, diags)
		}
	}
	if _, diags := expression.Compile(attrs["number"], ctx, ticketScope(), expression.Any); diags.HasErrors() {
		t.Errorf("a number is an expression too: %v", diags)
	}
}

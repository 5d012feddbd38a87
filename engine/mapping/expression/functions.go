package expression

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/vm"
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/record"
)

// natives are the functions that expressions have beside those of the language, and those of the language that
// would look at the machine they run on.
var natives = map[string]*builtin.Function{
	"cut": {
		Name:  "cut",
		Func:  cut,
		Types: []reflect.Type{reflect.TypeFor[func(string, int) string]()},
	},
	"prefixed": {
		Name: "prefixed",
		Func: prefixed,
		Types: []reflect.Type{
			reflect.TypeFor[func(string, string, []any) string](),
			reflect.TypeFor[func(string, string, []string) string](),
		},
	},
	"time_format": {
		Name: "time_format",
		Func: timeFormat,
		Types: []reflect.Type{
			reflect.TypeFor[func(string, string) string](),
			reflect.TypeFor[func(time.Time, string) string](),
		},
	},
	"timezone": {
		Name:  "timezone",
		Func:  func(args ...any) (any, error) { return zone(args[0]) },
		Types: []reflect.Type{reflect.TypeFor[func(string) *time.Location]()},
	},
	"date": {
		Name:     "date",
		Func:     date,
		Validate: builtin.Builtins[builtin.Index["date"]].Validate,
	},
}

// cut keeps the first n characters of a text; null stays null.
func cut(args ...any) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("cut takes a text and a number")
	}
	if args[0] == nil {
		return nil, nil
	}
	s, ok := args[0].(string)
	n, isInt := args[1].(int)
	if !ok || !isInt || n < 0 {
		return nil, fmt.Errorf("cut takes a text and a number from 0, not %s and %s", describe(args[0]), describe(args[1]))
	}
	for i := range s {
		if n == 0 {
			return s[:i], nil
		}
		n--
	}
	return s, nil
}

// prefixed puts a word before a text, with a space between, in place of those of the words that stand there already; an
// empty word only takes them away. Null stays null.
func prefixed(args ...any) (any, error) {
	if len(args) != 3 {
		return nil, errors.New("prefixed takes a text, a word to put before it, and the list of words that it replaces")
	}
	if args[0] == nil {
		return nil, nil
	}
	text, isText := args[0].(string)
	word, isWord := args[1].(string)
	words, isList := wordsOf(args[2])
	if !isText || !isWord && args[1] != nil || !isList {
		return nil, fmt.Errorf("prefixed takes a text, a word and a list of words, not %s, %s and %s", describe(args[0]), describe(args[1]), describe(args[2]))
	}
	for again := true; again; {
		again = false
		for _, w := range words {
			rest, found := strings.CutPrefix(text, w)
			if found && w != "" && (rest == "" || strings.HasPrefix(rest, " ")) {
				text, again = strings.TrimLeft(rest, " "), true
			}
		}
	}
	switch {
	case word == "":
		return text, nil
	case text == "":
		return word, nil
	}
	return word + " " + text, nil
}

func wordsOf(arg any) ([]string, bool) {
	switch list := arg.(type) {
	case []string:
		return list, true
	case []any:
		out := make([]string, len(list))
		for i, e := range list {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			out[i] = s
		}
		return out, true
	}
	return nil, false
}

// timeFormat writes a time, or a text that is one, in a layout of Go; null stays null.
func timeFormat(args ...any) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("time_format takes a time and a layout")
	}
	layout, ok := args[1].(string)
	if !ok {
		return nil, fmt.Errorf("time_format takes a layout such as '2006-01-02 15:04', not %s", describe(args[1]))
	}
	switch t := args[0].(type) {
	case nil:
		return nil, nil
	case time.Time:
		return t.Format(layout), nil
	case string:
		if strings.TrimSpace(t) == "" {
			return nil, nil
		}
		parsed, err := record.ParseTime(t)
		if err != nil {
			return nil, err
		}
		return parsed.Format(layout), nil
	}
	return nil, fmt.Errorf("time_format takes a time, not %s", describe(args[0]))
}

// zone loads a time zone by name, but never the machine's own.
func zone(arg any) (*time.Location, error) {
	name, ok := arg.(string)
	if !ok || name == "" || name == "Local" {
		return nil, errors.New("a time zone is written like 'Europe/Brussels' or 'UTC'")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	return loc, nil
}

// date is the language's own, minus the machine's time zone, and giving null for null.
func date(args ...any) (any, error) {
	for i, a := range args {
		switch a := a.(type) {
		case nil:
			return nil, nil
		case string:
			if i >= 2 {
				if _, err := zone(a); err != nil {
					return nil, err
				}
			}
		case *time.Location:
		default:
			return nil, fmt.Errorf("date takes texts, not %s", describe(a))
		}
	}
	return builtin.Builtins[builtin.Index["date"]].Func(args...)
}

// A function is a compiled function block.
type function struct {
	name   string
	arity  int
	params []string
	body   *Program
	code   *vm.Program
	typed  reflect.Type // func(any, …) any
	invoke func(spent *budget, args []any) (any, error)
}

// A scope is a Scope with what was compiled from it.
type scope struct {
	Scope
	ctx      *hcl.EvalContext
	compiled map[string]*function
	path     []string // functions being compiled, outermost first
}

func (s *scope) function(name string) *Function {
	for i := range s.Functions {
		if s.Functions[i].Name == name {
			return &s.Functions[i]
		}
	}
	return nil
}

// compile makes the function that is called at the given place. A function that is being compiled already
// would call itself without end.
func (s *scope) compile(f *Function, at hcl.Range) (*function, hcl.Diagnostics) {
	if i := slices.Index(s.path, f.Name); i >= 0 {
		way := strings.Join(append(slices.Clone(s.path[i:]), f.Name), " → ")
		return nil, hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Function calls itself",
			Detail:  fmt.Sprintf("A function may not call itself, not even by way of another: %s.", way),
			Subject: at.Ptr(),
		}}
	}
	if c, ok := s.compiled[f.Name]; ok {
		return c, nil
	}
	s.path = append(s.path, f.Name)
	c, diags := s.body(f)
	s.path = s.path[:len(s.path)-1]
	s.compiled[f.Name] = c
	return c, diags
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are words of the language and names that functions and parameters may not take.
var reserved = []string{"true", "false", "nil", "null", "let", "if", "else", "in", "not", "and", "or", "matches", "contains",
	"startsWith", "endsWith", "local", "run"}

func (s *scope) body(f *Function) (*function, hcl.Diagnostics) {
	rng := f.Expr.Range()
	bad := func(summary, format string, args ...any) (*function, hcl.Diagnostics) {
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: rng.Ptr()}}
	}
	_, taken := builtin.Index[f.Name]
	switch {
	case !identifier.MatchString(f.Name) || slices.Contains(reserved, f.Name):
		return bad("Invalid function name", "%q cannot be the name of a function: use letters, digits and underscores, and no word of the language.", f.Name)
	case taken || natives[f.Name] != nil:
		return bad("Invalid function name", "The language has a function %s already; choose another name.", f.Name)
	}
	params := make(map[string]bool, len(f.Params))
	for _, p := range f.Params {
		if !identifier.MatchString(p) || slices.Contains(reserved, p) {
			return bad("Invalid parameter", "%q cannot be the name of a parameter: use letters, digits and underscores, and no word of the language.", p)
		}
		if params[p] {
			return bad("Invalid parameter", "The function %s has two parameters called %s.", f.Name, p)
		}
		params[p] = true
	}
	p, diags := s.program(f.Expr, params, Any)
	if p == nil {
		return nil, diags
	}
	anys := slices.Repeat([]reflect.Type{reflect.TypeFor[any]()}, len(f.Params))
	c := &function{
		name: f.Name, arity: len(f.Params), params: f.Params, body: p, code: p.code,
		typed: reflect.FuncOf(anys, []reflect.Type{reflect.TypeFor[any]()}, false),
	}
	c.invoke = func(spent *budget, args []any) (any, error) {
		if err := spent.spend(callSteps); err != nil {
			return nil, err
		}
		// The VM takes its argument slice back after the call, so nothing of it is kept.
		env := make(map[string]any, len(args)+1)
		env[budgetName] = spent
		for i, name := range f.Params {
			env[name] = args[i]
		}
		var machine vm.VM
		out, err := execute(&machine, p.code, env)
		if err != nil {
			err := p.explain(err, env)
			err.Message = f.Name + ": " + err.Message
			return nil, err
		}
		return out, nil
	}
	return c, diags
}

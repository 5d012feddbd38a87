// Package expression compiles the expressions of mapping files and runs them.
//
// An expression is expr-lang text inside an HCL string. [Compile] checks it against the records, locals and
// functions in its [Scope]; what is wrong comes back as diagnostics whose subject is the very characters inside
// the string, through its escapes and heredoc indentation. A [Program] is safe for concurrent use. It reads
// no clock but run.time, does no I/O, and is bounded in memory and steps; what fails at run time is an [*Error]
// with a position in the file. Nothing here panics on what people write or on what systems deliver.
//
// Null never breaks a comparison for equality: null == 'x' is false. Ordering, arithmetic and most functions
// need a value, and say which path was null; write ticket.priority ?? 3. A path that is absent or
// unknown makes the whole result unknown, because it may take part in no decision.
package expression

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A Variable is one side's record as an expression sees it.
type Variable struct {
	Name string
	// Fields are its known paths with their types. A path with dots ("caller_id.email") is reached as
	// caller_id.email. A variable whose only field is "" is a plain value, not a record.
	Fields map[string]record.Type
	// References are those of Fields whose values name other records. Members below them are allowed too, and
	// are read as paths of their own: caller_id.email.
	References map[string]bool
	Open       bool        // any other member is allowed too
	Rest       record.Type // of members that are not in Fields; the zero Type where they may hold anything
}

// A Function is a function block: an expression over its parameters and the locals.
type Function struct {
	Name   string
	Params []string
	Expr   hcl.Expression
}

// A Scope is all that an expression may name. Locals are plain Go values: nil, bool, int, float64, string,
// []any and map[string]any, reached as local.NAME. run.time is always there.
type Scope struct {
	Vars      []Variable
	Locals    map[string]any
	Functions []Function
}

// Want is the kind of result that the place of an expression asks for.
type Want uint8

const (
	Any  Want = iota
	Bool      // true or false
	List      // a list
)

// A Getter gives the value of one path of a record; of "" for a variable that is a plain value. A nil Getter
// stands for a record that does not exist: every path of it is null.
type Getter func(path string) record.Value

// A Program is a compiled expression.
type Program struct {
	text   *text
	want   Want
	slots  []slot
	direct bool // the expression is one path and nothing else
	code   *vm.Program
	reads  map[string][]string
	nulls  map[file.Location][]int // slots below each node, to name the one that was null
	words  map[int][]Word          // what the slots are compared with
	terms  Terms
	frames sync.Pool // of *frame
}

// A slot is one thing that a program loads before it starts.
type slot struct {
	name     string // as people write it: ticket.status, alarm["Incident Status"]; also its name in the environment
	variable string
	path     string
	typ      record.Type
	whole    []string // paths of a record that is used whole; nil for every other slot
	clock    bool     // run.time
}

// A frame is what one run needs and the next can use again.
type frame struct {
	vm    vm.VM
	env   map[string]any
	spent budget
}

// An Error is what went wrong in a run, and where in the mapping file.
type Error struct {
	Range   hcl.Range
	Message string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d,%d: %s", e.Range.Filename, e.Range.Start.Line, e.Range.Start.Column, e.Message)
}

// Reads gives the sorted paths that p reads, by variable; "" is among them where the record is used whole.
func (p *Program) Reads() map[string][]string {
	reads := make(map[string][]string, len(p.reads))
	for name, paths := range p.reads {
		reads[name] = slices.Clone(paths)
	}
	return reads
}

// Run evaluates p. A variable that is missing in vars counts as a record that does not exist. The error is an *Error.
func (p *Program) Run(vars map[string]Getter, runTime time.Time) (record.Value, error) {
	if p.direct {
		v := p.slots[0].load(vars)
		if !v.Known() {
			return record.UnknownValue, nil
		}
		return p.check(v)
	}
	f, _ := p.frames.Get().(*frame)
	if f == nil {
		f = &frame{env: make(map[string]any, len(p.slots)+1)}
		f.env[budgetName] = &f.spent
	}
	defer p.frames.Put(f)
	f.spent = 0
	for i := range p.slots {
		s := &p.slots[i]
		switch {
		case s.clock:
			f.env[s.name] = runTime.UTC()
		case s.whole != nil:
			whole, known := s.loadWhole(vars)
			if !known {
				return record.UnknownValue, nil
			}
			f.env[s.name] = whole
		default:
			v := s.load(vars)
			if !v.Known() {
				return record.UnknownValue, nil
			}
			f.env[s.name] = v.Any()
		}
	}
	out, err := execute(&f.vm, p.code, f.env)
	if err != nil {
		return record.Value{}, p.explain(err, f.env)
	}
	v, err := toValue(out)
	if err != nil {
		return record.Value{}, &Error{p.text.whole(), err.Error()}
	}
	return p.check(v)
}

// check holds the result against what the place asks for; the types were not always known to Compile.
func (p *Program) check(v record.Value) (record.Value, error) {
	switch {
	case p.want == Bool && v.Kind() != record.Bool:
		return record.Value{}, &Error{p.text.whole(), fmt.Sprintf("the result is %s, not true or false", v)}
	case p.want == List && v.Kind() != record.List:
		return record.Value{}, &Error{p.text.whole(), fmt.Sprintf("the result is %s, not a list", v)}
	}
	return v, nil
}

func (s *slot) load(vars map[string]Getter) record.Value {
	if get := vars[s.variable]; get != nil {
		return get(s.path)
	}
	return record.NullValue
}

// loadWhole builds the record as an object, dotted paths as objects inside it. A path that has a value of its
// own keeps it and hides the paths below.
func (s *slot) loadWhole(vars map[string]Getter) (map[string]any, bool) {
	get := vars[s.variable]
	whole := make(map[string]any, len(s.whole))
	for _, path := range s.whole {
		v := record.NullValue
		if get != nil {
			v = get(path)
		}
		if !v.Known() {
			return nil, false
		}
		place(whole, path, v.Any())
	}
	return whole, true
}

func readsOf(slots []slot) map[string][]string {
	sets := map[string]map[string]bool{}
	for i := range slots {
		s := &slots[i]
		if s.clock {
			continue
		}
		if sets[s.variable] == nil {
			sets[s.variable] = map[string]bool{}
		}
		sets[s.variable][s.path] = true
		for _, path := range s.whole {
			sets[s.variable][path] = true
		}
	}
	reads := make(map[string][]string, len(sets))
	for name, set := range sets {
		reads[name] = slices.Sorted(maps.Keys(set))
	}
	return reads
}

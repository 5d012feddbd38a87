package expression

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/fieldsync/fieldsync/engine/record"
)

const (
	elements   = 1_000_000 // list elements and map members that one run may make
	steps      = 2_000_000 // turns of loops, and characters they hand on
	callSteps  = 20        // what a call of the mapping's functions counts for
	budgetName = "$budget"
	stepName   = "$step"
)

var errBudget = errors.New("the expression does too much work; make its lists or texts shorter")

// A budget counts steps. The VM counts only what it allocates in lists and maps: neither the turns of a loop
// over a list that was there before, nor text that doubles with each turn.
type budget int

func (b *budget) spend(n int) error {
	if *b += budget(n); *b > steps {
		return errBudget
	}
	return nil
}

// step is called with the budget and the value of every loop body and let; it returns the value.
func step(args ...any) (any, error) {
	spent, value := args[0].(*budget), args[1]
	n := 1
	switch v := value.(type) {
	case string:
		n += len(v)
	case []any:
		n += len(v)
	}
	return value, spent.spend(n)
}

// execute runs code and never panics.
func execute(machine *vm.VM, code *vm.Program, env map[string]any) (out any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	machine.MemoryBudget = elements
	return machine.Run(code, env)
}

// explain makes an *Error of what the VM reports: at the place in the mapping file, and naming the null that it
// stumbled over, if it was one.
func (p *Program) explain(err error, env map[string]any) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own // from a function's body, with its own place
	}
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		return &Error{p.text.whole(), tidy(err.Error())}
	}
	at := &Error{Range: p.text.rng(fe.From, fe.To), Message: tidy(fe.Message)}
	if errors.Is(err, errBudget) || strings.Contains(fe.Message, "memory budget") {
		at.Message = errBudget.Error()
		return at
	}
	for _, i := range p.nulls[fe.Location] {
		if name := p.slots[i].name; env[name] == nil {
			at.Message = fmt.Sprintf("%s is null; give it a value with %s ?? …", name, name)
			break
		}
	}
	return at
}

var (
	conversion = regexp.MustCompile(`interface conversion: interface \{\} is (.+), not (.+)`)
	goTypes    = regexp.MustCompile(`map\[string\]interface ?\{\}|\[\]interface ?\{\}|interface ?\{\}|\*?time\.(Time|Duration|Location)|\bfloat64\b|\bstring\b|<nil>|\[\](int|string)\b`)
)

// tidy puts a message of the language into the words of this project.
func tidy(message string) string {
	message = conversion.ReplaceAllString(message, "$1 where $2 is needed")
	message = goTypes.ReplaceAllStringFunc(message, func(t string) string {
		switch {
		case strings.HasPrefix(t, "map"):
			return "object"
		case strings.HasPrefix(t, "[]"):
			return "list"
		case strings.HasPrefix(t, "interface"):
			return "any"
		case t == "float64":
			return "float"
		case t == "string":
			return "text"
		case t == "<nil>":
			return "null"
		case strings.HasSuffix(t, "Location"):
			return "time zone"
		}
		return strings.ToLower(t[strings.LastIndexByte(t, '.')+1:])
	})
	message, _, _ = strings.Cut(message, "\n")
	if first, rest := message[:min(1, len(message))], message[min(1, len(message)):]; rest != "" && strings.ToLower(rest[:1]) == rest[:1] {
		message = strings.ToLower(first) + rest
	}
	return strings.TrimSpace(message)
}

// describe names the kind of a plain value.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int, float64:
		return "a number"
	case time.Time:
		return "a time"
	case time.Duration:
		return "a duration"
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map:
		return "an object"
	}
	return "something else"
}

// toValue turns a result into a value. Division by zero gives an error here rather than the null that
// record.Of makes of an infinity.
func toValue(out any) (record.Value, error) {
	switch v := out.(type) {
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return record.Value{}, errors.New("the result is not a number: a division by zero?")
		}
	case time.Duration:
		return record.Value{}, errors.New("the result is a duration, which no field holds; write string(…), or a number such as (…).Minutes()")
	}
	plain, err := plainOf(out, 0)
	if err != nil {
		return record.Value{}, err
	}
	v, err := record.Of(plain)
	if err != nil {
		return record.Value{}, fmt.Errorf("the result does not fit a field: %w", err)
	}
	return v, nil
}

// plainOf replaces the list and map types that the language makes by those that record.Of knows.
func plainOf(v any, depth int) (any, error) {
	switch v.(type) {
	case nil, bool, int, float64, string, time.Time, []byte, []string:
		return v, nil
	}
	if depth > 100 {
		return nil, errors.New("the result is nested too deeply")
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Slice, reflect.Array:
		items := make([]any, rv.Len())
		for i := range items {
			item, err := plainOf(rv.Index(i).Interface(), depth+1)
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		return items, nil
	case reflect.Map:
		members := make(map[string]any, rv.Len())
		for it := rv.MapRange(); it.Next(); {
			item, err := plainOf(it.Value().Interface(), depth+1)
			if err != nil {
				return nil, err
			}
			members[fmt.Sprint(it.Key().Interface())] = item
		}
		return members, nil
	case reflect.Func, reflect.Struct, reflect.Pointer, reflect.Chan:
		return nil, fmt.Errorf("the result is %s, which no field holds", describe(v))
	}
	return v, nil
}

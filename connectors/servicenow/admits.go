package servicenow

import (
	"regexp"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// chooses are the operators by which a condition wants one value of some, or one of a certain form. The others (!=, <, NOT
// IN, ISEMPTY) as a rule are true of a record whose field nobody has filled.
var chooses = []string{"IN", "LIKE", "STARTSWITH", "ENDSWITH", "BETWEEN", "SAMEAS", "DYNAMIC", "ON", "ISNOTEMPTY", "=", "*", "%"}

// dynamic is a value that the instance works out.
var dynamic = regexp.MustCompile(`^(?i:javascript:|DYNAMIC)`)

// Admits takes an encoded query apart: field=value among conditions that are all joined by ^ is asked of every row. Of
// one that begins another set (^NQ) nothing is, and of conditions joined by ^OR one value of some.
func (s *Settings) Admits(_, native string) connectors.Terms {
	f, err := parseFilter(native)
	if err != nil || len(f.groups) != 1 || related.MatchString(native) {
		return connectors.Terms{}
	}
	t := connectors.Terms{Values: record.Fields{}, Whole: true}
	choice := func(path string) {
		t.Whole = false
		if !strings.HasPrefix(path, "sys_") && !slices.Contains(t.Choice, path) {
			t.Choice = append(t.Choice, path)
		}
	}
	terms := strings.Split(f.groups[0], "^")
	for i, term := range terms {
		cond, or := strings.CutPrefix(term, "OR")
		or = or || i+1 < len(terms) && strings.HasPrefix(terms[i+1], "OR")
		path := conditionField.FindString(cond)
		value, equals := strings.CutPrefix(cond[len(path):], "=")
		switch {
		case !or && equals && value != "" && !dynamic.MatchString(value) && !strings.Contains(path, "."):
			if was, twice := t.Values[path]; twice && was.Text() != value {
				return connectors.Terms{} // nothing is in such a scope
			}
			t.Values[path] = record.OfText(value)
		case slices.ContainsFunc(chooses, func(op string) bool { return strings.HasPrefix(cond[len(path):], op) }):
			choice(path)
		default:
			t.Whole = false
		}
	}
	return t
}

// related are queries over related lists, joins and the text index, which have a grammar of their own.
var related = regexp.MustCompile(`(^|\^)(RLQUERY|JOIN|123TEXTQUERY321)`)

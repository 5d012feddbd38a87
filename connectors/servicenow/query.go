package servicenow

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/fieldsync/fieldsync/connectors"
)

// A filter is an encoded query as groups that are OR-ed, so that conditions can be added to all of it.
type filter struct {
	groups []string // each "a=1^b=2^ORb=3"; none: everything
	fields []string // what the conditions name, sorted
}

var fieldPath = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$`)

// conditionField is the field at the start of a condition: names are lower case, operators are upper case or signs.
var conditionField = regexp.MustCompile(`^[a-z0-9_.]+`)

// parseFilter takes a native query apart. What is not a condition, the order and end marker that a copied list
// filter carries, is dropped; what an instance would silently drop is refused, because without its
// condition a query answers with everything.
func parseFilter(native string) (filter, error) {
	var f filter
	native = strings.TrimSpace(native)
	if native == "" {
		return f, nil
	}
	refuse := func(detail, hint string) (filter, error) {
		return filter{}, &connectors.Error{Kind: connectors.ErrConfig, Op: "query", Detail: detail, Hint: hint}
	}
	if strings.ContainsAny(native, "\r\n") {
		return refuse("the query has a line break", "write it on one line")
	}
	group := []string{}
	groups := [][]string{}
	for i, term := range strings.Split(native, "^") {
		if rest, ok := strings.CutPrefix(term, "NQ"); ok && i > 0 {
			groups = append(groups, group)
			group, term = []string{}, rest
		}
		if term == "EQ" || strings.HasPrefix(term, "ORDERBY") || strings.HasPrefix(term, "GROUPBY") {
			continue
		}
		// Related-list queries and the text index have a grammar of their own; they pass as they are.
		if strings.HasPrefix(term, "RLQUERY") || strings.HasPrefix(term, "ENDRLQUERY") || strings.HasPrefix(term, "JOIN") || strings.HasPrefix(term, "123TEXTQUERY321") {
			group = append(group, term)
			continue
		}
		cond := strings.TrimPrefix(term, "OR")
		if cond != term && len(group) == 0 {
			return refuse("^OR"+cond+" has no condition before it", "begin each part with a condition")
		}
		name := conditionField.FindString(cond)
		rest := cond[len(name):]
		switch {
		case term == "":
			return refuse("the query has an empty condition", "take out the doubled or leading ^; a value cannot contain ^")
		case name == "" || !fieldPath.MatchString(name):
			return refuse("\""+term+"\" does not begin with the name of a field", "write conditions as active=true^priorityIN1,2: the instance drops all others")
		case rest == "":
			return refuse("\""+term+"\" has no operator", "write conditions as active=true^priorityIN1,2: the instance drops all others")
		case strings.HasPrefix(rest, " "):
			return refuse("\""+term+"\" has a space before its operator", "write "+name+strings.TrimSpace(rest)+": the instance drops conditions with spaces around the operator")
		case strings.HasPrefix(rest, "=="):
			return refuse("\""+term+"\" has two equals signs", "write "+name+strings.TrimPrefix(rest, "="))
		}
		f.fields = append(f.fields, name)
		group = append(group, term)
	}
	for _, g := range append(groups, group) {
		if len(g) == 0 && len(groups) > 0 {
			return refuse("a part of the query between ^NQ is empty", "take out the ^NQ, or write a condition behind it")
		}
		if len(g) > 0 {
			f.groups = append(f.groups, strings.Join(g, "^"))
		}
	}
	slices.Sort(f.fields)
	f.fields = slices.Compact(f.fields)
	return f, nil
}

// with is the encoded query of f and conds, in the order of sys_id: each group is an alternative of its own,
// so each gets every condition.
func (f filter) with(conds ...string) string {
	tail := strings.Join(conds, "^")
	groups := f.groups
	if len(groups) == 0 {
		groups = []string{""}
	}
	var b strings.Builder
	for i, g := range groups {
		if i > 0 {
			b.WriteString("^NQ")
		}
		b.WriteString(g)
		if g != "" && tail != "" {
			b.WriteByte('^')
		}
		b.WriteString(tail)
	}
	if b.Len() > 0 {
		b.WriteByte('^')
	}
	b.WriteString("ORDERBYsys_id")
	return b.String()
}

// plainValue reports whether s means itself as the value of a condition. A caret ends the condition and a
// leading javascript: is run by the instance; neither has an escape that is documented.
func plainValue(s string) bool {
	return s != "" && !strings.Contains(s, "^") && !strings.ContainsFunc(s, unicode.IsControl) &&
		strings.TrimSpace(s) == s && !scripted(s)
}

// listValue reports whether s means itself as one of the values of IN, which has no quoting.
func listValue(s string) bool { return plainValue(s) && !strings.Contains(s, ",") }

func scripted(s string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(s)), "javascript:")
}

// plainPart is the longest part of s that means itself in a condition; "" if there is none.
func plainPart(s string) string {
	best := ""
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '^' || unicode.IsControl(r) }) {
		part = strings.TrimSpace(part)
		for scripted(part) {
			part = strings.TrimSpace(part[len("javascript:"):])
		}
		if len(part) > len(best) {
			best = part
		}
	}
	return best
}

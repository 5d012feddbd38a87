package mapping

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Proposal is a field rule that two described collections suggest. A person decides about it.
type Proposal struct {
	Name  string
	Paths [2]string
	To    [2]bool // the sides that it may write
	// Rows are the translation of its values; nil where they can be copied as they are.
	Rows [][2]record.Value
	// Left are choices of each side for which no partner was found.
	Left [2][]record.Value
	Why  string
}

// Propose pairs the fields of two collections by name, label and what they usually mean in ticketing. It proposes each
// field once, the surest pairs first, and nothing where types do not go together. names are those of the sides.
func Propose(names [2]string, described [2]*schema) []Proposal {
	type pair struct {
		i, j, score int
		why         string
	}
	var pairs []pair
	left, right := described[0], described[1]
	for i, a := range left.Fields {
		for j, b := range right.Fields {
			if !proposable(left, a) || !proposable(right, b) || !together(a, b) {
				continue
			}
			if score, why := alike(names, a, b); score > 0 {
				pairs = append(pairs, pair{i, j, score, why})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Or(b.score-a.score, a.i-b.i, a.j-b.j) })
	taken := [2]map[int]bool{{}, {}}
	var out []Proposal
	for _, p := range pairs {
		if taken[0][p.i] || taken[1][p.j] {
			continue
		}
		a, b := left.Fields[p.i], right.Fields[p.j]
		if a.ReadOnly && b.ReadOnly {
			continue
		}
		taken[0][p.i], taken[1][p.j] = true, true
		q := Proposal{Name: identifierOf(b.Path), Paths: [2]string{a.Path, b.Path}, To: [2]bool{!a.ReadOnly && !a.Once, !b.ReadOnly && !b.Once}, Why: p.why}
		for s, f := range [2]connectors.Field{a, b} {
			if computed(described[s], f) {
				q.To[s], q.Why = false, q.Why+"; on the "+names[s]+" it follows from impact and urgency"
			}
		}
		if q.To == [2]bool{} {
			continue
		}
		if len(a.Choices) > 0 && len(b.Choices) > 0 && !within(a, b) && !within(b, a) {
			q.Rows, q.Left = pairChoices(a.Choices, b.Choices)
			if len(q.Rows) == 0 {
				continue
			}
		}
		out = append(out, q)
	}
	slices.SortStableFunc(out, func(a, b Proposal) int { return rank(a) - rank(b) })
	return out
}

// rank brings what people look at first to the top.
func rank(p Proposal) int {
	if i := slices.Index([]string{"title", "description", "state", "priority", "urgency", "impact"}, concept(p.Paths[1])); i >= 0 {
		return i
	}
	return 100
}

// proposable leaves out what no rule can carry, and the key, which belongs into a match block.
func proposable(s *schema, f connectors.Field) bool {
	return f.Path != s.Key && !f.Append && f.Type.Kind != record.List && f.Type.Kind != record.Object && !strings.HasPrefix(f.Path, "sys_")
}

// together reports whether the values of one field can stand in the other.
func together(a, b connectors.Field) bool {
	if (a.Reference != "") != (b.Reference != "") {
		return false // a name against a key: that takes a look-up
	}
	ka, kb := kindOf(a), kindOf(b)
	return ka == kb || ka == "" || kb == "" || ka == "text" && kb == "number" || ka == "number" && kb == "text"
}

func kindOf(f connectors.Field) string {
	switch k := f.Type.Kind; {
	case k == record.Time || f.Type.Layout != "":
		return "time"
	case k == record.Int || k == record.Float:
		return "number"
	case k == record.Absent:
		return ""
	default:
		return k.String()
	}
}

// alike says how sure it is that two fields mean the same, and why.
func alike(names [2]string, a, b connectors.Field) (int, string) {
	wa, wb := words(a.Path), words(b.Path)
	ca, cb := concept(a.Path), concept(b.Path)
	switch {
	case slices.Equal(wa, append([]string{names[1]}, wb...)) && b.ReadOnly:
		return 110, "the " + names[0] + " has a place for it" // incident_number ← number
	case slices.Equal(wa, wb):
		return 100, "they have the same name"
	case a.Label != "" && strings.EqualFold(a.Label, b.Label):
		return 90, "both are called " + a.Label
	case ca != "" && ca == cb:
		return 80, "both are usually the " + ca
	case a.Label != "" && concept(a.Label) != "" && concept(a.Label) == concept(b.Label):
		return 70, "both are usually the " + concept(a.Label)
	}
	return 0, ""
}

// concepts are what ticketing tools call the same thing.
var concepts = map[string][]string{
	"title":       {"title", "subject", "summary", "short description", "headline", "heading"},
	"description": {"description", "body", "details", "detail", "long description"},
	"state":       {"state", "status", "phase"},
	"priority":    {"priority", "prio"},
	"urgency":     {"urgency"},
	"impact":      {"impact", "severity"},
	"assignee":    {"assignee", "assigned to", "owner", "agent"},
	"group":       {"group", "team", "queue", "assignment group"},
	"requester":   {"requester", "caller", "caller id", "reporter", "contact"},
	"resolution":  {"resolution", "solution", "close notes", "resolution notes"},
	"category":    {"category", "topic"},
	"location":    {"location", "site"},
	"due date":    {"due date", "due", "deadline"},
}

func concept(name string) string {
	w := strings.Join(words(name), " ")
	for _, c := range []string{"title", "description", "state", "priority", "urgency", "impact", "assignee", "group", "requester", "resolution", "category", "location", "due date"} {
		if slices.Contains(concepts[c], w) {
			return c
		}
	}
	return ""
}

// words splits a name as programs write it: short_description, shortDescription, Short description.
func words(name string) []string {
	var list []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			list, word = append(list, strings.ToLower(string(word))), nil
		}
	}
	lower := false
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
		case unicode.IsUpper(r) && lower:
			end()
			word = append(word, r)
		default:
			word = append(word, r)
		}
		lower = unicode.IsLower(r)
	}
	end()
	return list
}

// identifierOf makes the name of a rule.
func identifierOf(path string) string {
	if c := concept(path); c != "" {
		path = c
	}
	id := strings.Join(words(path), "_")
	if id == "" || unicode.IsDigit(rune(id[0])) {
		id = "field_" + id
	}
	return id
}

// computed reports whether a system makes a priority of impact and urgency, and would replace what is written there.
func computed(s *schema, f connectors.Field) bool {
	has := func(path string) bool { _, ok := s.Field(path); return ok }
	return f.Path == "priority" && has("impact") && has("urgency")
}

// within reports whether every choice of a is one of b: then values are copied as they are.
func within(a, b connectors.Field) bool {
	return !slices.ContainsFunc(a.Choices, func(c connectors.Choice) bool {
		return !slices.ContainsFunc(b.Choices, func(o connectors.Choice) bool { return o.Value.Plain() == c.Value.Plain() })
	})
}

// meanings are what the values of states and the like are called.
var meanings = [][]string{
	{"new", "submitted", "created"},
	{"open", "in progress", "work in progress", "active", "assigned", "wip", "working", "started", "processing"},
	{"waiting", "on hold", "pending", "hold", "blocked", "awaiting", "feedback", "stalled", "suspended"},
	{"resolved", "solved", "fixed", "done", "completed"},
	{"closed", "finished"},
	{"cancelled", "canceled", "rejected", "withdrawn", "declined"},
	{"critical", "p1", "blocker", "1 critical", "1 high"},
	{"high", "p2", "urgent", "2 high", "2 medium"},
	{"medium", "moderate", "normal", "p3", "3 moderate", "3 low"},
	{"low", "minor", "p4", "4 low"},
	{"planning", "lowest", "p5", "5 planning", "trivial"},
}

// pairChoices finds for each choice of one side its partner on the other: by the same word, then by the same meaning.
func pairChoices(a, b []connectors.Choice) (rows [][2]record.Value, rest [2][]record.Value) {
	used := [2]map[int]bool{{}, {}}
	found := map[int]int{}
	for _, same := range []func(x, y string) bool{
		func(x, y string) bool { return x == y },
		func(x, y string) bool {
			return slices.ContainsFunc(meanings, func(m []string) bool { return slices.Contains(m, x) && slices.Contains(m, y) })
		},
	} {
		for i, ca := range a {
			for j, cb := range b {
				if !used[0][i] && !used[1][j] && same(called(ca), called(cb)) {
					used[0][i], used[1][j], found[i] = true, true, j
				}
			}
		}
	}
	for i, c := range a {
		if used[0][i] {
			rows = append(rows, [2]record.Value{c.Value, b[found[i]].Value})
		} else {
			rest[0] = append(rest[0], c.Value)
		}
	}
	for j, c := range b {
		if !used[1][j] {
			rest[1] = append(rest[1], c.Value)
		}
	}
	return rows, rest
}

// called is what people read for a choice.
func called(c connectors.Choice) string {
	name := c.Label
	if name == "" {
		name = c.Value.Plain()
	}
	return strings.Join(words(name), " ")
}

// Enumerates reports whether a field of this name usually holds one of a few values.
func Enumerates(path string) bool {
	return slices.Contains([]string{"state", "priority", "urgency", "impact", "category"}, concept(path))
}

package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
)

// A query is a parsed encoded query: groups are OR-ed, the clauses of a group AND-ed, the conditions of a
// clause OR-ed. No group at all selects everything.
type query struct {
	groups  [][]clause
	order   []sortKey
	invalid bool // a part was dropped
}

type clause []*condition

type sortKey struct {
	path *path
	desc bool
}

// operators in an order in which no operator hides a longer one.
var operators = []string{
	"GT_OR_EQUALS_FIELD", "LT_OR_EQUALS_FIELD", "GT_FIELD", "LT_FIELD", "NSAMEAS", "SAMEAS",
	"ISNOTEMPTY", "EMPTYSTRING", "ISEMPTY", "ANYTHING", "RELATIVEGT", "RELATIVELT", "STARTSWITH", "ENDSWITH",
	"NOT LIKE", "NOT IN", "BETWEEN", "DYNAMIC", "NOTON", "LIKE", "IN", "ON",
	"!=", "!*", ">=", "<=", "=", ">", "<", "*", "%",
}

// synonyms are the short spellings of operators.
var synonyms = map[string]string{"*": "LIKE", "!*": "NOT LIKE", "%": "ENDSWITH", "DYNAMIC": "="}

// split cuts one term into field, operator and value. ok is false for what is no term: prose, spaces
// around the operator, a missing operator.
func split(term string) (field, op, value string, ok bool) {
	n := 0
	for n < len(term) && (term[n] == '_' || term[n] == '.' || term[n] >= 'a' && term[n] <= 'z' || term[n] >= '0' && term[n] <= '9') {
		n++
	}
	if n == 0 {
		return "", "", "", false
	}
	for _, o := range operators {
		if v, found := strings.CutPrefix(term[n:], o); found {
			if long, short := synonyms[o]; short {
				o = long
			}
			return term[:n], o, v, true
		}
	}
	return "", "", "", false
}

// parse reads an encoded query against a table. What it cannot use it drops, as an instance does: unknown
// fields and terms widen the result instead of failing.
func (s *Server) parse(t *table, text string, u *User) *query {
	q := &query{}
	var group []clause
	groups := [][]clause{}
	bound := false // the last term was kept, so that ^OR has something to bind to
	for i, term := range strings.Split(text, "^") {
		switch {
		case term == "" && text == "", term == "EQ":
			continue
		case strings.HasPrefix(term, "ORDERBY"):
			name, desc := strings.CutPrefix(term[len("ORDERBY"):], "DESC")
			if p := s.path(t, name); p != nil {
				q.order = append(q.order, sortKey{p, desc})
			} else {
				q.invalid = true
			}
			continue
		case strings.HasPrefix(term, "NQ") && i > 0:
			groups = append(groups, group)
			group, bound = nil, false
			term = term[2:]
		}
		rest, or := strings.CutPrefix(term, "OR")
		c := s.condition(t, rest, u)
		if c == nil {
			q.invalid = true
			// The terms that an ^OR binds to stay where they are; a dropped first term leaves nothing to bind to.
			if !or {
				bound = false
			}
			continue
		}
		if or && bound {
			last := len(group) - 1
			group[last] = append(group[last], c)
		} else {
			group = append(group, clause{c})
		}
		bound = true
	}
	for _, g := range append(groups, group) {
		if len(g) > 0 {
			q.groups = append(q.groups, g)
		}
	}
	return q
}

func (q *query) matches(s *Server, r *row) bool {
	if len(q.groups) == 0 {
		return true
	}
	for _, g := range q.groups {
		if matchGroup(s, g, r) {
			return true
		}
	}
	return false
}

func matchGroup(s *Server, g []clause, r *row) bool {
	for _, c := range g {
		hit := false
		for i := 0; i < len(c) && !hit; i++ {
			hit = c[i].match(s, r)
		}
		if !hit {
			return false
		}
	}
	return true
}

// A page is a window on a query's result.
type page struct {
	rows  []*row
	total int
}

// run answers a query. An order that is not unique, or none, starts at another row with each request: an
// instance promises no order either, and clients that page without one must see what that does.
//
// Without count the total is what the page holds, and a page that is full ends the search.
func (s *Server) run(t *table, q *query, offset, limit int, count bool) page {
	found := s.search(t, q, offset, limit, count)
	if !count {
		found.total = len(found.rows)
	}
	return found
}

func (s *Server) search(t *table, q *query, offset, limit int, count bool) page {
	if q.invalid && (s.on().InvalidQueryNoRows || s.property("glide.invalid_query.returns_no_rows") == "true") {
		return page{}
	}
	rows, sorted, exact := s.candidates(t, q)
	unique := slices.ContainsFunc(q.order, func(k sortKey) bool { return k.path.name == "sys_id" })
	keyset := sorted && len(q.order) > 0 && q.order[0].path.name == "sys_id" && !q.order[0].desc
	if exact && keyset {
		from := min(offset, len(rows))
		return page{rows[from:min(from+limit, len(rows))], len(rows)}
	}
	start := 0
	if !unique && len(rows) > 1 {
		start = int(s.requests.Load()*7) % len(rows)
	}
	if s.on().RandomTies && !unique && len(rows) > 1 {
		random := rand.New(rand.NewPCG(uint64(s.options.Seed), uint64(s.requests.Load())))
		rows, start = slices.Clone(rows), 0
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	collectAll := len(q.order) > 0 && !keyset
	var out page
	for i := range rows {
		r := rows[(start+i)%len(rows)]
		if !exact && !q.matches(s, r) {
			continue
		}
		if !count && !collectAll && len(out.rows) == limit {
			break
		}
		if collectAll || out.total >= offset && out.total < offset+limit {
			out.rows = append(out.rows, r)
		}
		out.total++
	}
	if collectAll {
		s.sort(out.rows, q.order)
		from := min(offset, len(out.rows))
		out.rows = out.rows[from:min(from+limit, len(out.rows))]
	}
	return out
}

// candidates narrows a table by what an index or the order by sys_id can answer. exact says that every
// candidate matches.
func (s *Server) candidates(t *table, q *query) (rows []*row, sorted, exact bool) {
	if len(q.groups) == 0 {
		return t.rows(), true, true
	}
	if len(q.groups) > 1 {
		return t.rows(), true, false
	}
	group := q.groups[0]
	for _, c := range group {
		if len(c) != 1 || c[0].op != "=" && c[0].op != "IN" || len(c[0].path.cols) != 1 || c[0].impossible {
			continue
		}
		name := c[0].path.name
		if name != "sys_id" && (!slices.Contains(indexed, name) || slices.Contains(c[0].values, "")) {
			continue
		}
		seen := map[*row]bool{}
		for _, v := range c[0].values {
			if name == "sys_id" {
				if r := t.find(v); r != nil {
					seen[r] = true
				}
				continue
			}
			for _, r := range t.equal(name, v) {
				seen[r] = true
			}
		}
		for r := range seen {
			rows = append(rows, r)
		}
		slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(a.id, b.id) })
		return rows, true, false
	}
	rows = t.rows()
	var rest []clause
	for _, c := range group {
		if len(c) != 1 || c[0].path.name != "sys_id" || c[0].op != ">" && c[0].op != ">=" {
			rest = append(rest, c)
			continue
		}
		i, found := slices.BinarySearchFunc(rows, c[0].values[0], byID)
		if found && c[0].op == ">" {
			i++
		}
		rows = rows[i:]
	}
	q.groups[0] = rest // the range has answered the others
	return rows, true, len(rest) == 0
}

func (s *Server) sort(rows []*row, order []sortKey) {
	slices.SortStableFunc(rows, func(a, b *row) int {
		for _, k := range order {
			d := k.path.compare(s, a, b)
			if k.desc {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return 0
	})
}

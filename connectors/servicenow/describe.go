package servicenow

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Describe reads the dictionary: the table's own fields and those of the tables it extends, the nearest
// definition of each, with their choices. It is read once for a connection, and so is the answer that it may not
// be read, which is the rule for users with no more than itil (an empty list, or 403).
//
// No field is Required: the mandatory flag of the dictionary is enforced on some ways into the instance only, and
// what a data policy demands is said when it refuses a write. Paths behind a reference (caller_id.email) can be
// read without being listed.
func (t *Table) Describe(ctx context.Context) (*connectors.Schema, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	t.mu.Lock()
	schema, denied := t.schema, t.denied
	t.mu.Unlock()
	if schema != nil || denied != nil {
		return schema, denied
	}
	schema, err := t.dictionary(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.schema = schema
	case errors.Is(err, connectors.ErrDenied):
		schema = &connectors.Schema{Key: "sys_id", Hidden: true, Open: true, Rest: rest,
			Threads: []connectors.Thread{threadOf("comments", "Additional comments"), threadOf("work_notes", "Work notes")}, Files: []connectors.Thread{filesOf}}
		t.schema, t.denied = schema, err
	}
	return schema, err
}

// rest is the form of fields that the dictionary does not show: text, like everything on the wire.
var rest = record.Type{Kind: record.Text, Layout: timeLayout, Loose: true}

func (t *Table) dictionary(ctx context.Context) (*connectors.Schema, error) {
	op := "describe " + t.name
	chain, err := t.chain(ctx, op)
	if err != nil {
		return nil, err
	}
	var fields []column
	shown := int64(0)
	total, err := t.meta(ctx, op, "sys_dictionary", "nameIN"+strings.Join(chain, ",")+"^elementISNOTEMPTY",
		[]string{"name", "element", "column_label", "internal_type", "reference", "max_length", "read_only", "choice", "display"}, func(get func(string) string) {
			shown++
			c := column{table: get("name"), name: get("element"), label: get("column_label"), kind: get("internal_type"), reference: get("reference"),
				length: get("max_length"), readOnly: get("read_only"), choice: get("choice"), display: get("display") == "true"}
			if c.name != "" && slices.Contains(chain, c.table) {
				fields = append(fields, c)
			}
		})
	if err != nil {
		return nil, hidden(op, err)
	}
	if len(fields) == 0 {
		return nil, hidden(op, nil)
	}
	family, err := t.family(ctx, op)
	if err != nil {
		return nil, err
	}
	choices, varied, err := t.choices(ctx, op, chain, family[1:])
	if err != nil {
		return nil, err
	}
	// Nearest definition first; the order of fields is the dictionary's, which is by name.
	slices.SortStableFunc(fields, func(a, b column) int { return slices.Index(chain, a.table) - slices.Index(chain, b.table) })
	s := &connectors.Schema{Key: "sys_id", Open: total > shown, Rest: rest}
	task := slices.Contains(chain, "task")
	display := ""
	seen := map[string]bool{}
	for _, c := range fields {
		if seen[c.name] {
			continue
		}
		seen[c.name] = true
		f := c.field(task)
		f.Choices = choices[c.name]
		f.Closed = len(f.Choices) > 0 && !varied[c.name] && c.kind == "integer" && (c.choice == "1" || c.choice == "3")
		s.Fields = append(s.Fields, f)
		if c.display && display == "" {
			display = c.name
		}
	}
	slices.SortFunc(s.Fields, func(a, b connectors.Field) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range s.Fields {
		if f.Append {
			s.Threads = append(s.Threads, threadOf(f.Path, f.Label))
		}
	}
	s.Files = []connectors.Thread{filesOf}
	switch {
	case seen["number"]:
		s.Label = "number"
	case display != "":
		s.Label = display
	case seen["name"]:
		s.Label = "name"
	}
	return s, nil
}

// hidden is the answer that this user may not see the dictionary.
func hidden(op string, err error) error {
	if err != nil && !errors.Is(err, connectors.ErrDenied) {
		return err
	}
	return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: "the dictionary is not readable for this user", Err: err,
		Hint: "give the user the role personalize_dictionary, or read rules on sys_db_object, sys_dictionary and sys_choice; without them names and values are not checked"}
}

// chain is the table's name and those of the tables it extends, nearest first. Dot-walking asks for several
// generations at once.
func (t *Table) chain(ctx context.Context, op string) ([]string, error) {
	const generations = 4
	asked := make([]string, generations)
	for i := range asked {
		asked[i] = strings.Repeat("super_class.", i) + "name"
	}
	chain := []string{t.name}
	for len(chain) < 32 {
		var found []string
		_, err := t.meta(ctx, op, "sys_db_object", "name="+chain[len(chain)-1], asked, func(get func(string) string) {
			if get("name") != chain[len(chain)-1] {
				return
			}
			for _, a := range asked[1:] {
				n := get(a)
				if n == "" {
					break
				}
				found = append(found, n)
			}
		})
		if err != nil {
			return nil, hidden(op, err)
		}
		for _, n := range found {
			if slices.Contains(chain, n) {
				return chain, nil
			}
			chain = append(chain, n)
		}
		if len(found) < generations-1 {
			return chain, nil
		}
	}
	return chain, nil
}

// A column is one row of sys_dictionary.
type column struct {
	table, name, label, kind, reference, length, readOnly, choice string
	display                                                       bool
}

// stamped are the fields of task and its children that the instance sets by itself; what a client sends into
// them does not survive. Their dictionary entries do not say so.
var stamped = map[string]bool{"number": true, "opened_at": true, "opened_by": true, "priority": true, "active": true,
	"resolved_at": true, "resolved_by": true, "closed_at": true, "closed_by": true, "reopen_count": true, "reassignment_count": true,
	"child_incidents": true, "reopened_time": true, "reopened_by": true, "sla_due": true, "made_sla": true, "escalation": true,
	"activity_due": true, "business_duration": true, "calendar_duration": true, "business_stc": true, "calendar_stc": true,
	"time_worked": true, "task_effective_number": true, "comments_and_work_notes": true}

func (c *column) field(task bool) connectors.Field {
	f := connectors.Field{Path: c.name, Label: c.label, Native: c.kind, Type: record.Type{Kind: record.Text}}
	f.MaxLength, _ = strconv.Atoi(c.length)
	switch c.kind {
	case "glide_date_time", "due_date":
		f.Type.Layout, f.MaxLength = timeLayout, 0
	case "glide_date":
		f.Type.Layout, f.MaxLength = "2006-01-02", 0
	case "reference":
		f.Reference = c.reference
	case "journal_input", "journal":
		f.Append = true
		f.MaxLength = 0 // of one entry there is no limit that the dictionary knows
	case "journal_list":
		f.ReadOnly = true
	}
	// Releases from Australia on tell kinds of read only apart; a field that is so on forms alone takes writes.
	ro := strings.ToLower(c.readOnly)
	f.ReadOnly = f.ReadOnly || ro != "" && ro != "false" && ro != "0" && !strings.Contains(ro, "display") ||
		strings.HasPrefix(c.name, "sys_") || task && stamped[c.name]
	return f
}

// choices are the choice lists of the table's fields. The list of a child table replaces its parent's. A
// user who may not see them gets none. varied are the fields of which a table that extends this one has a list of its
// own: rows of its class have other values there (3 is On Hold of an incident and Closed Complete of a task).
func (t *Table) choices(ctx context.Context, op string, chain, heirs []string) (list map[string][]connectors.Choice, varied map[string]bool, err error) {
	type row struct {
		table, element, value, label string
		sequence                     int
	}
	var rows []row
	varied = map[string]bool{}
	query := "nameIN" + strings.Join(slices.Concat(chain, heirs), ",") + "^inactive=false^language=" + t.conn.language
	_, err = t.meta(ctx, op, "sys_choice", query, []string{"name", "element", "value", "label", "sequence", "language", "inactive"}, func(get func(string) string) {
		r := row{table: get("name"), element: get("element"), value: get("value"), label: get("label")}
		r.sequence, _ = strconv.Atoi(get("sequence"))
		if slices.Contains(heirs, r.table) {
			varied[r.element] = true
			return
		}
		if r.element != "" && r.value != "" && get("inactive") != "true" && get("language") == t.conn.language {
			rows = append(rows, r)
		}
	})
	if errors.Is(err, connectors.ErrDenied) || errors.Is(err, errNoTable) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if d := slices.Index(chain, a.table) - slices.Index(chain, b.table); d != 0 {
			return d
		}
		return a.sequence - b.sequence
	})
	owner := map[string]string{}
	out := map[string][]connectors.Choice{}
	for _, r := range rows {
		if owner[r.element] == "" {
			owner[r.element] = r.table
		}
		v := record.OfText(r.value)
		// One value may stand under several values of another field (subcategory under category).
		if owner[r.element] != r.table || slices.ContainsFunc(out[r.element], func(c connectors.Choice) bool { return c.Value == v }) {
			continue
		}
		out[r.element] = append(out[r.element], connectors.Choice{Value: v, Label: r.label})
	}
	return out, varied, nil
}

// meta reads rows of one of the instance's own tables and gives each to row as a function from field to text, ""
// for what is empty or hidden. It returns how many rows the server counted, access rules not applied.
func (t *Table) meta(ctx context.Context, op, table, query string, fields []string, row func(get func(string) string)) (int64, error) {
	w := &walk{table: &Table{conn: t.conn, name: table}, op: op, cols: newColumns(fields, nil), base: filter{groups: []string{query}}}
	// Rows are small, and reading the dictionary in few requests matters more than each being quick.
	first := w.fetch(ctx, position{limit: 1000, left: -1})
	total := first.total
	err := w.run(ctx, first, func(r record.Record) error {
		row(func(field string) string { return strings.Clone(r.Values[slices.Index(fields, field)].Text()) })
		return nil
	})
	return total, err
}

package sim

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// An entry is a comment or work note that a write carries.
type entry struct{ element, text string }

// journalise keeps the entries of a write as rows of their own.
func (s *Server) journalise(r *row, u *User, entries []entry) {
	for _, e := range entries {
		s.store("sys_journal_field", map[string]string{
			"element": e.element, "element_id": r.id, "name": r.t.name, "value": e.text, "sys_created_by": u.Login, "sys_updated_by": u.Login,
		})
	}
}

// history is what people see in a journal field: every entry, newest first, under a header of time, name
// and field label. comments_and_work_notes shows both kinds.
func (s *Server) history(r *row, c *column, u *User) string {
	rows := s.tables["sys_journal_field"].equal("element_id", r.id)
	if len(rows) == 0 {
		return ""
	}
	// Rows are in the order of their making, so that a stable sort of the reverse keeps entries of one second apart.
	rows = slices.Clone(rows)
	slices.Reverse(rows)
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(b.get("sys_created_on"), a.get("sys_created_on")) })
	var b strings.Builder
	for _, e := range rows {
		element := e.get("element")
		if c.kind != "journal_list" && element != c.name {
			continue
		}
		name := e.get("sys_created_by")
		if p := s.findOne("sys_user", "user_name", name); p != nil {
			name = p.get("name")
		}
		label := element
		if col := r.t.column(element); col != nil {
			label = col.label
		}
		b.WriteString(localTime(e.get("sys_created_on"), u) + " - " + name + " (" + label + ")\n" + e.get("value") + "\n\n")
	}
	return b.String()
}

// localTime shows a stored time in the user's time zone.
func localTime(v string, u *User) string {
	at, err := time.Parse(timeLayout, v)
	if err != nil {
		return v
	}
	return at.In(u.location()).Format(cmp.Or(u.layout, timeLayout))
}

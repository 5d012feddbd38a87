package sim

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// input is what a write carries.
type input struct {
	fields  map[string]string
	display bool // values are display values
}

// blank is a new row with the columns' defaults and the platform's own fields.
func (s *Server) blank(t *table, id string, u *User) *row {
	r := &row{t: t, id: id, v: make([]string, len(t.cols))}
	for i, c := range t.cols {
		r.v[i] = c.def
	}
	now := s.clock().Format(timeLayout)
	d := draft{t: t, next: r.v}
	d.set("sys_id", id)
	d.set("sys_created_on", now)
	d.set("sys_updated_on", now)
	d.set("sys_created_by", u.Login)
	d.set("sys_updated_by", u.Login)
	d.set("sys_mod_count", "0")
	d.set("sys_class_name", t.name)
	return r
}

// insert makes a record. The caller has checked the rights.
func (s *Server) insert(t *table, u *User, in input) (*row, *failure) {
	id := strings.ToLower(in.fields["sys_id"])
	switch {
	case !isID(id):
		id = s.newID()
	case t.root().find(id) != nil:
		return nil, duplicate(t, id)
	}
	r := s.blank(t, id, u)
	d := draft{t: t, next: r.v, user: u}
	entries := s.assign(&d, t, in)
	if fail := s.rules(&d, entries); fail != nil {
		return nil, fail
	}
	if t.prefix != "" && d.get("number") == "" {
		d.set("number", s.number(t))
	}
	d.set("task_effective_number", d.get("number"))
	t.put(r)
	s.journalise(r, u, entries)
	s.learn(r)
	return r, nil
}

// number draws the next free number; numbers are never used again.
func (s *Server) number(t *table) string {
	for {
		t.counter++
		n := strconv.Itoa(t.counter)
		if n = t.prefix + strings.Repeat("0", max(0, 7-len(n))) + n; len(t.equal("number", n)) == 0 {
			return n
		}
	}
}

// update changes a record as seen through view: columns that view does not have are unknown fields. A write
// that changes nothing leaves no trace.
func (s *Server) update(r *row, view *table, u *User, in input) *failure {
	next := make([]string, len(r.t.cols))
	copy(next, r.v)
	d := draft{t: r.t, prev: slices.Clone(next), next: next, user: u}
	entries := s.assign(&d, view, in)
	if fail := s.rules(&d, entries); fail != nil {
		return fail
	}
	if len(entries) == 0 && slices.Equal(d.prev, d.next) {
		return nil
	}
	count, _ := strconv.Atoi(d.get("sys_mod_count")) // the platform's own counter is a number
	d.set("sys_mod_count", strconv.Itoa(count+1))
	d.set("sys_updated_on", s.clock().Format(timeLayout))
	d.set("sys_updated_by", u.Login)
	r.t.replace(r, next)
	s.journalise(r, u, entries)
	s.audit(&d, r)
	s.learn(r)
	s.children(&d, r)
	return nil
}

// remove deletes a record with its attachments and keeps a note of it.
func (s *Server) remove(r *row, u *User) {
	if r.t.is("task") {
		s.store("sys_audit_delete", map[string]string{
			"tablename": r.t.name, "documentkey": r.id, "display_value": r.get(r.t.displayColumn()), "sys_created_by": u.Login,
		})
		for _, a := range slices.Clone(s.tables["sys_attachment"].equal("table_sys_id", r.id)) {
			s.remove(a, u)
		}
	}
	delete(s.files, r.id)
	r.t.remove(r)
	if r.t.name == "sys_choice" {
		s.choices = nil
	}
}

// assign puts the values of a write into a draft, in the order of their names, and returns the journal
// entries it carries. Unknown and read-only fields are dropped without a word.
func (s *Server) assign(d *draft, view *table, in input) []entry {
	s.loadChoices()
	var entries []entry
	for _, name := range sortedKeys(in.fields) {
		c, v := view.column(name), in.fields[name]
		switch {
		case c == nil || c.readOnly:
			continue
		case name == "number" && d.prev == nil && v == "":
			continue
		case c.kind == "journal_input":
			if v != "" {
				entries = append(entries, entry{name, v})
			}
			continue
		}
		v = s.stored(d.t, c, v, d.user, in.display)
		if v == "" && c.choice == "3" {
			continue // a list without None cannot be cleared
		}
		if name == "close_code" && v != "" && !hasChoice(s.choicesOf(d.t, name), v) {
			continue // an obsolete code is dropped, and the data policy then finds it missing
		}
		d.set(name, v)
	}
	return entries
}

// stored is the form in which a column keeps a value.
func (s *Server) stored(t *table, c *column, v string, u *User, display bool) string {
	if display && v != "" {
		v = s.fromDisplay(t, c, v, u)
	}
	switch {
	case v == "":
	case c.kind == "integer":
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil {
			return ""
		}
		return strconv.Itoa(n)
	case c.temporal():
		for _, layout := range []string{timeLayout, time.DateOnly} {
			if at, err := time.Parse(layout, v); err == nil {
				return at.Format(timeLayout)
			}
		}
		return ""
	case c.kind == "boolean":
		return strconv.FormatBool(strings.EqualFold(v, "true") || v == "1")
	}
	return cut(v, c.length)
}

// cut shortens text to n characters.
func cut(v string, n int) string {
	if n <= 0 || utf8.RuneCountInString(v) <= n {
		return v
	}
	return string([]rune(v)[:n])
}

// fromDisplay turns what people see into what is stored.
func (s *Server) fromDisplay(t *table, c *column, v string, u *User) string {
	switch {
	case c.kind == "reference":
		target := s.tables[c.ref]
		if target == nil || target.find(v) != nil {
			return v
		}
		if r := s.findOne(c.ref, target.displayColumn(), v); r != nil {
			return r.id
		}
		return ""
	case c.choice != "":
		for _, ch := range s.choicesOf(t, c.name) {
			if ch.label == v {
				return ch.value
			}
		}
	case c.temporal():
		if at, err := time.ParseInLocation(cmp.Or(u.layout, timeLayout), v, u.location()); err == nil {
			return at.UTC().Format(timeLayout)
		}
	}
	return v
}

func hasChoice(list []choice, v string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(c choice) bool { return c.value == v })
}

// audit notes each changed field of a task. Of a boolean it has 1 and 0.
func (s *Server) audit(d *draft, r *row) {
	if !r.t.is("task") || s.on().Audits == "off" {
		return
	}
	for i, c := range r.t.cols {
		if d.prev[i] == d.next[i] || strings.HasPrefix(c.name, "sys_") {
			continue
		}
		was, is := d.prev[i], d.next[i]
		if c.kind == "boolean" {
			bit := strings.NewReplacer("true", "1", "false", "0")
			was, is = bit.Replace(was), bit.Replace(is)
		}
		s.store("sys_audit", map[string]string{
			"tablename": r.t.name, "documentkey": r.id, "fieldname": c.name, "oldvalue": was, "newvalue": is,
			"user": d.user.Login, "record_checkpoint": d.get("sys_mod_count"), "sys_created_by": d.user.Login,
		})
	}
}

// root is the table at the top of the family, in which a sys_id is unique.
func (t *table) root() *table {
	for t.parent != nil {
		t = t.parent
	}
	return t
}

func isID(v string) bool {
	return len(v) == 32 && strings.Trim(v, "0123456789abcdef") == ""
}

// mayUpdate is the row ACL of a change.
func (s *Server) mayUpdate(r *row, u *User) bool {
	return s.writable(r.t, http.MethodPatch, u) && (!s.closed(r) || u.has("admin", "itil_admin"))
}

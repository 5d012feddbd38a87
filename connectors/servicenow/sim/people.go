package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// populate makes the users, their roles and, unless asked not to, sample people and groups.
func (s *Server) populate() {
	roles := map[string]string{}
	for _, u := range s.users {
		zone := u.TimeZone
		if zone == "" {
			zone = "GMT"
		}
		id := s.store("sys_user", map[string]string{
			"user_name": u.Login, "name": u.Name, "email": u.Login + "@example.com", "time_zone": zone, "date_format": "yyyy-MM-dd", "time_format": "HH:mm:ss",
		}).id
		for _, name := range u.Roles {
			if roles[name] == "" {
				roles[name] = s.store("sys_user_role", map[string]string{"name": name}).id
			}
			s.store("sys_user_has_role", map[string]string{"user": id, "role": roles[name]})
		}
	}
	if s.options.Empty {
		return
	}
	for _, p := range [][3]string{{"abel.tuter", "Abel", "Tuter"}, {"beth.anglin", "Beth", "Anglin"}, {"david.loo", "David", "Loo"}, {"fred.luddy", "Fred", "Luddy"}, {"joe.employee", "Joe", "Employee"}} {
		s.store("sys_user", map[string]string{"user_name": p[0], "first_name": p[1], "last_name": p[2], "name": p[1] + " " + p[2], "email": p[0] + "@example.com", "time_zone": "GMT"})
	}
	for _, g := range []string{"Database", "Hardware", "Network", "Service Desk", "Software"} {
		s.store("sys_user_group", map[string]string{"name": g})
	}
}

// store puts a row straight into a table, past the rules.
func (s *Server) store(name string, fields map[string]string) *row {
	t := s.tables[name]
	r := s.blank(t, s.newID(), &User{Login: "system"})
	for f, v := range fields {
		if i, ok := t.at[f]; ok {
			r.v[i] = v
		}
	}
	t.put(r)
	return r
}

// newID draws a sys_id.
func (s *Server) newID() string {
	return fmt.Sprintf("%016x%016x", s.random.Uint64(), s.random.Uint64())
}

// person is the user of this login; somebody unknown has the rights of people.
func (s *Server) person(login string) *User {
	for i := range s.users {
		if s.users[i].Login == login {
			return &s.users[i]
		}
	}
	return &User{Login: login, Name: login, Roles: people.Roles}
}

// Insert makes a record the way a script of user people does: through the server rules, past the access
// rules. It returns "" when there is no such table or a rule refuses.
func (s *Server) Insert(table string, fields map[string]string) (sysID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[table]
	if t == nil {
		return ""
	}
	if id := strings.ToLower(fields["sys_id"]); s.on().LateCommit > 0 {
		if !isID(id) {
			id = s.newID()
		}
		fields = maps.Clone(fields)
		if fields == nil {
			fields = map[string]string{}
		}
		fields["sys_id"] = id
		if s.later(t, func() { _, _ = s.insert(t, s.person(people.Login), input{fields: fields}) }) {
			return id
		}
	}
	r, fail := s.insert(t, s.person(people.Login), input{fields: fields})
	if fail != nil {
		return ""
	}
	return r.id
}

// Update is a person's edit, through the server rules. The error is what the form would have said, which is not
// known yet of a write that Switches.LateCommit keeps back.
func (s *Server) Update(table, sysID string, by string, fields map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(table, sysID)
	if r == nil {
		return fmt.Errorf("update %s %s: %w", table, sysID, errMissing)
	}
	u := s.person(by)
	if s.later(r.t, func() {
		if s.row(table, sysID) == r { // nobody deleted it meanwhile
			_ = s.update(r, s.tables[table], u, input{fields: fields})
		}
	}) {
		return nil
	}
	if s.closed(r) && !u.has("admin", "itil_admin") {
		return fmt.Errorf("update %s %s: %w", table, sysID, errClosed)
	}
	for f := range fields {
		if s.closed(r) && !editableWhenClosed(f) && fields[f] != r.get(f) {
			return fmt.Errorf("update %s %s, field %s: %w", table, sysID, f, errClosed)
		}
	}
	if fail := s.update(r, s.tables[table], u, input{fields: fields}); fail != nil {
		return fmt.Errorf("update %s %s: %s", table, sysID, fail.detail)
	}
	return nil
}

var (
	errMissing = errors.New("no such record")
	errClosed  = errors.New("closed and canceled incidents are read only")
)

// Delete removes a record; one that is not there is no error.
func (s *Server) Delete(table, sysID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.row(table, sysID); r != nil {
		s.remove(r, s.person(people.Login))
	}
}

// Get returns all fields of a record in raw form; nil if there is none.
func (s *Server) Get(table, sysID string) map[string]string {
	s.work()
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.row(table, sysID)
	if r == nil {
		return nil
	}
	return fieldsOf(r)
}

// Find returns the records whose field has exactly this value, by sys_id.
func (s *Server) Find(table, field, value string) []map[string]string {
	return s.filter(table, func(r *row) bool { return r.get(field) == value })
}

// All returns every record of a table, by sys_id.
func (s *Server) All(table string) []map[string]string {
	return s.filter(table, func(*row) bool { return true })
}

func (s *Server) filter(table string, want func(*row) bool) []map[string]string {
	s.work()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[table]
	if t == nil {
		return nil
	}
	t.settleAll()
	var out []map[string]string
	for _, r := range t.rows() {
		if want(r) {
			out = append(out, fieldsOf(r))
		}
	}
	return out
}

// row finds a record of a table or of its children.
func (s *Server) row(table, id string) *row {
	if t := s.tables[table]; t != nil {
		return t.find(id)
	}
	return nil
}

// findOne finds a row by any column; nil if there is none. Small tables only: it scans what is not indexed.
func (s *Server) findOne(table, field, value string) *row {
	t := s.tables[table]
	if t == nil || value == "" {
		return nil
	}
	if t.index[field] != nil {
		if rows := t.equal(field, value); len(rows) > 0 {
			return rows[0]
		}
		return nil
	}
	for _, rows := range [][]*row{t.sorted, t.fresh} {
		if i := slices.IndexFunc(rows, func(r *row) bool { return r.get(field) == value }); i >= 0 {
			return rows[i]
		}
	}
	return nil
}

// userID is the sys_id of a login, or the login itself for somebody who is no row: such values occur.
func (s *Server) userID(login string) string {
	if r := s.findOne("sys_user", "user_name", login); r != nil {
		return r.id
	}
	return login
}

// property is the value of a sys_properties row; "" if there is none.
func (s *Server) property(name string) string {
	if r := s.findOne("sys_properties", "name", name); r != nil {
		return r.get("value")
	}
	return ""
}

func fieldsOf(r *row) map[string]string {
	m := make(map[string]string, len(r.t.cols))
	for _, c := range r.t.cols {
		m[c.name] = r.get(c.name)
	}
	return m
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

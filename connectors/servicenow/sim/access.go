package sim

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
)

const keyHeader = "x-sn-apikey"

// authenticate finds the user of a call; nil if nobody may log in with what it carries.
func (s *Server) authenticate(c *call) *User {
	key := c.Header.Get(keyHeader)
	if key == "" {
		key = c.params.get(keyHeader)
	}
	if token := bearerOf(c.Header); token != "" {
		return s.bearer(token)
	}
	login, password, basic := c.BasicAuth()
	for i := range s.users {
		u := &s.users[i]
		switch {
		case key != "":
			if u.APIKey != "" && subtle.ConstantTimeCompare([]byte(u.APIKey), []byte(key)) == 1 {
				return s.active(u, false)
			}
		case basic && u.Login == login && u.Password != "":
			if subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) == 1 {
				return s.active(u, true)
			}
		}
	}
	return nil
}

// active turns away users whose row says that they are locked out, inactive or gone, and passwords of people
// where the instance takes those of machines alone.
func (s *Server) active(u *User, password bool) *User {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := s.findOne("sys_user", "user_name", u.Login)
	if r == nil || r.get("active") != "true" || r.get("locked_out") == "true" {
		return nil
	}
	w := s.on()
	if password && w.BasicRestricted && r.get("web_service_access_only") != "true" && !u.has("snc_basic_auth_api_access") {
		return nil
	}
	return w.session(u)
}

// withoutKey takes an API key out of a raw query.
func withoutKey(raw string) string {
	if !strings.Contains(raw, keyHeader) {
		return raw
	}
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		if !strings.HasPrefix(part, keyHeader+"=") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// Roles that read and that write the task family.
var (
	readers = []string{"admin", "itil", "itil_admin", "sn_incident_read", "sn_incident_write"}
	writers = []string{"admin", "itil", "itil_admin", "sn_incident_write"}
)

func metadata(t *table) bool {
	switch t.name {
	case "sys_dictionary", "sys_dictionary_override", "sys_choice", "sys_glide_object", "sys_properties":
		return true
	}
	return false
}

// hidden reports whether the metadata is closed to this user.
func (s *Server) hidden(u *User) bool {
	return !u.has("admin") && (s.options.HideDictionary || s.on().HideDictionary || len(u.Roles) == 0)
}

// readableTable is the ACL of a whole table; a failure is a 403 whatever the query.
func (s *Server) readableTable(t *table, u *User, q *query) *failure {
	switch {
	case u.has("admin"):
		return nil
	case t.name == "sys_db_object" && s.hidden(u) && !u.has("itil"):
		return queryDenied
	case t.name == "sys_journal_field" && s.on().Journals == "denied", t.name == "sys_audit" && s.on().Audits == "denied":
		return queryDenied
	case q != nil && slices.ContainsFunc(q.named(), func(p *path) bool { return !s.searchable(p) }):
		return queryDenied
	case t.name == "sys_choice" && s.hidden(u) && q != nil:
		// Only the label may be read, so a filter or order on anything else is refused.
		for _, g := range q.groups {
			for _, c := range g {
				for _, cond := range c {
					if cond.path.name != "label" {
						return queryDenied
					}
				}
			}
		}
		for _, k := range q.order {
			if k.path.name != "label" {
				return queryDenied
			}
		}
	}
	return nil
}

// readable is the row ACL: a row that fails is silently not there.
func (s *Server) readable(r *row, u *User) bool {
	switch {
	case u.has("admin"):
		return true
	case s.meets(s.on().hide, r):
		return false
	case r.t.name == "sys_journal_field" && s.on().Journals != "", r.t.name == "sys_audit" && s.on().Audits != "":
		return false
	case r.t.is("task"), r.t.name == "sys_journal_field", r.t.name == "sys_attachment":
		return u.has(readers...)
	case r.t.name == "sys_choice":
		return true
	case metadata(r.t):
		return !s.hidden(u)
	case r.t.name == "sys_audit", r.t.name == "sys_audit_delete":
		return !s.hidden(u) && u.has("itil")
	case r.t.name == "sys_user":
		return len(u.Roles) > 0 || r.get("user_name") == u.Login
	case r.t.name == "sys_user_has_role":
		return len(u.Roles) > 0 || r.get("user") == s.userID(u.Login)
	}
	return len(u.Roles) > 0
}

// readableField is the field ACL: a field that fails is missing from the row.
func (s *Server) readableField(p *path, u *User) bool {
	if u.has("admin") {
		return true
	}
	if hide := s.on().HideFields; len(hide) > 0 && s.covers(hide, p) {
		return false
	}
	return p.base.name != "sys_choice" || p.last().name == "label" || !s.hidden(u)
}

// searchable is the query ACL, which usually is the field ACL.
func (s *Server) searchable(p *path) bool {
	w := s.on()
	return !s.covers(w.HideFields, p) && !s.covers(w.DenyQueries, p)
}

// covers reports whether a list of fields has one that the path goes through.
func (s *Server) covers(list []string, p *path) bool {
	t := p.base
	for _, c := range p.cols {
		if names(list, t, c.name) {
			return true
		}
		if t = s.tables[c.ref]; t == nil {
			break
		}
	}
	return false
}

// named lists the fields that a query names.
func (q *query) named() []*path {
	var out []*path
	for _, g := range q.groups {
		for _, c := range g {
			for _, cond := range c {
				out = append(out, cond.path)
				if cond.other != nil {
					out = append(out, cond.other)
				}
			}
		}
	}
	for _, k := range q.order {
		out = append(out, k.path)
	}
	return out
}

// writable is the ACL for a write of this kind. Rows of the platform's own tables are for admins.
func (s *Server) writable(t *table, method string, u *User) bool {
	switch {
	case u.has("snc_read_only"):
		return false
	case u.has("admin"):
		return true
	case method == http.MethodDelete && t.name != "sys_attachment":
		return t.is("task") && u.has("itil_admin")
	}
	return (t.is("task") || t.name == "sys_attachment") && u.has(writers...)
}

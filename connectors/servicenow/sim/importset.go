package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A transform is the map of one staging table to one target, with the fields that find a record that is there
// already. Columns of the same name follow each other; others are named in fields, by staging column.
type transform struct {
	staging, target string
	coalesce        []string
	fields          map[string]string
}

// parseTransform reads STAGING:TARGET[:COALESCE,…].
func parseTransform(text string) (transform, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return transform{}, fmt.Errorf("%q is not STAGING:TARGET or STAGING:TARGET:COALESCE", text)
	}
	m := transform{staging: parts[0], target: parts[1], fields: map[string]string{}}
	if len(parts) == 3 {
		m.coalesce = strings.Split(parts[2], ",")
	}
	return m, nil
}

// transforms are the maps that the switches describe, by staging table. Staging tables that are not there yet are made,
// for callers that hold the lock.
func (s *Server) transforms(w Switches) (map[string][]transform, error) {
	out := map[string][]transform{}
	for _, text := range w.ImportSets {
		m, err := parseTransform(text)
		if err != nil {
			return nil, err
		}
		target := s.tables[m.target]
		if target == nil {
			return nil, fmt.Errorf("switch: %q names no table", m.target)
		}
		for _, f := range m.coalesce {
			if target.column(f) == nil {
				return nil, fmt.Errorf("switch: %s has no field %q to coalesce on", m.target, f)
			}
		}
		for _, entry := range w.ImportFields {
			from, field, _ := strings.Cut(entry, ":")
			table, column, _ := strings.Cut(from, ".")
			if table != m.staging {
				continue
			}
			if target.column(field) == nil {
				return nil, fmt.Errorf("switch: %s has no field %q", m.target, field)
			}
			m.fields[column] = field
		}
		s.stage(m, target)
		out[m.staging] = append(out[m.staging], m)
	}
	return out, nil
}

// stage makes a staging table, or adds to it what this map needs: a text column for each of the target's.
func (s *Server) stage(m transform, target *table) {
	t := s.tables[m.staging]
	if t == nil {
		t = newTable(m.staging, m.staging, "", nil)
		for _, c := range auditColumns() {
			t.add(c)
		}
		t.add(text("sys_import_set", "Set", 40).fixed())
		s.tables[m.staging] = t
		s.store("sys_db_object", map[string]string{"name": m.staging, "label": m.staging})
	}
	add := func(name, label string) {
		if t.column(name) == nil {
			c := text(name, label, 65000)
			t.add(c)
			s.store("sys_dictionary", dictionaryRow(m.staging, c))
		}
	}
	for _, c := range target.cols {
		if !strings.HasPrefix(c.name, "sys_") {
			add(c.name, c.label)
		}
	}
	for _, name := range sortedKeys(m.fields) {
		add(name, name)
	}
}

// importAPI takes rows into a staging table and runs its transform maps.
func (s *Server) importAPI(c *call) reply {
	if fail := c.formats(); fail != nil {
		return failed(fail)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[c.path[1]]
	maps := s.on().maps[c.path[1]]
	if t == nil || len(maps) == 0 {
		return failed(noTable(c.path[1]))
	}
	switch {
	case c.reading() && len(c.path) == 3:
		if out := s.imported[c.path[2]]; out != nil && t.find(c.path[2]) != nil {
			return reply{status: http.StatusOK, header: http.Header{}, body: out}
		}
		return failed(noRecord)
	case c.method == http.MethodPost && len(c.path) == 3 && c.path[2] == "insertMultiple":
		return s.importMany(c, t, maps)
	case c.method != http.MethodPost || len(c.path) != 2:
		return failed(wrongMethod)
	}
	fields, fail := c.importFields(c.body)
	if fail != nil {
		return failed(fail)
	}
	set := s.number(s.importSets())
	r, fail := s.insert(t, c.user, input{fields: fields})
	if fail != nil {
		return failed(fail)
	}
	if !c.user.has("admin", "import_admin", "import_transformer") {
		return failed(noTransform) // and the row is there
	}
	body := s.transformed(c, set, r, fields, maps)
	s.imported[r.id] = body
	return reply{status: http.StatusCreated, header: http.Header{}, body: body}
}

// importMany takes rows in and transforms them after it has answered: what becomes of them is not said.
func (s *Server) importMany(c *call, t *table, maps []transform) reply {
	var sent struct{ Records []map[string]any }
	if json.Unmarshal(c.body, &sent) != nil {
		return failed(unreadable("The payload is not valid JSON"))
	}
	set := s.number(s.importSets())
	for _, rec := range sent.Records {
		fields := map[string]string{}
		for label, v := range rec { // columns go by label here
			for _, col := range t.cols {
				if col.label == label {
					fields[col.name] = asText(v)
				}
			}
		}
		r, fail := s.insert(t, c.user, input{fields: fields})
		if fail != nil {
			continue // as on an instance: the row is left out
		}
		s.late = append(s.late, lateWrite{began: s.clock(), due: s.clock(), commit: func() {
			s.imported[r.id] = s.transformed(c, set, r, fields, maps)
		}})
		s.waiting.Store(true)
	}
	b := quote([]byte(`{"import_set_id":`), s.newID())
	return reply{status: http.StatusCreated, header: http.Header{}, body: append(quote(append(b, `,"multi_import_set_id":`...), s.newID()), '}')}
}

// importSets numbers the sets.
func (s *Server) importSets() *table {
	if s.tables["sys_import_set"] == nil {
		t := newTable("sys_import_set", "Import Set", "ISET", nil)
		for _, c := range append(auditColumns(), text("number", "Number", 40).shown()) {
			t.add(c)
		}
		s.tables[t.name] = t
	}
	return s.tables["sys_import_set"]
}

// importFields reads one row: whatever is no text becomes some.
func (c *call) importFields(body []byte) (map[string]string, *failure) {
	var sent map[string]any
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, unreadable("The payload is not valid JSON")
	}
	out := map[string]string{}
	for k, v := range sent {
		out[k] = asText(v)
	}
	return out, nil
}

// asText is how staging rows keep what is not text: nested objects as {a=b}.
func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+"="+asText(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// transformed runs the maps of a staging row and says what came of each.
func (s *Server) transformed(c *call, set string, staged *row, sent map[string]string, maps []transform) []byte {
	b := quote([]byte(`{"import_set":`), set)
	b = append(quote(append(b, `,"staging_table":`...), staged.t.name), `,"result":[`...)
	for i, m := range maps {
		if i > 0 {
			b = append(b, ',')
		}
		status, r, why := s.transform(c.user, staged, sent, m)
		b = quote(append(b, `{"transform_map":`...), m.staging+" to "+s.tables[m.target].label)
		b = quote(append(b, `,"table":`...), m.target)
		b = quote(append(b, `,"status":`...), status)
		if why != "" {
			b = quote(append(b, `,"error_message":`...), why)
		}
		if r != nil {
			display := r.t.displayColumn()
			b = quote(append(b, `,"display_name":`...), display)
			b = quote(append(b, `,"display_value":`...), r.get(display))
			b = quote(append(b, `,"record_link":`...), c.api()+"/table/"+r.t.name+"/"+r.id)
			b = quote(append(b, `,"sys_id":`...), r.id)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// transform carries one staging row over. It runs as a script of the user does: past access rules, under business
// rules and data policies. why is what the rules said.
func (s *Server) transform(u *User, staged *row, sent map[string]string, m transform) (status string, r *row, why string) {
	target := s.tables[m.target]
	fields := map[string]string{}
	for _, c := range staged.t.cols {
		// Columns of the row that nobody sent are not the business of this import.
		if _, ok := sent[c.name]; !ok || c.readOnly {
			continue
		}
		name, v := c.name, staged.get(c.name)
		if to := m.fields[name]; to != "" {
			name = to
		}
		if v != "" || !s.on().ImportEmptiesDropped {
			fields[name] = v
		}
	}
	if r = s.coalesced(target, m.coalesce, fields); r == nil {
		delete(fields, "sys_id")
		made, fail := s.insert(target, u, input{fields: fields})
		if fail != nil {
			return "error", nil, fail.detail
		}
		return "inserted", made, ""
	}
	before := r.get("sys_mod_count")
	if fail := s.update(r, target, u, input{fields: fields}); fail != nil {
		return "error", nil, fail.detail
	}
	if r.get("sys_mod_count") == before {
		return "ignored", r, ""
	}
	return "updated", r, ""
}

// coalesced finds the record that a row is about; nil if there is none, or nothing to find it by.
func (s *Server) coalesced(t *table, by []string, fields map[string]string) *row {
	if len(by) == 0 {
		return nil
	}
	t.settleAll()
	for _, r := range t.rows() {
		if !slices.ContainsFunc(by, func(f string) bool { return fields[f] == "" || !strings.EqualFold(fields[f], r.get(f)) }) {
			return r
		}
	}
	return nil
}

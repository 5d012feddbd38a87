package sim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// params are the query parameters in the order they were sent.
type params []param

type param struct{ raw, name, value string }

func readParams(rawQuery string) params {
	var out params
	for part := range strings.SplitSeq(rawQuery, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(k)
		if err != nil {
			name = k
		}
		value, err := url.QueryUnescape(v)
		if err != nil {
			value = v
		}
		out = append(out, param{part, name, value})
	}
	return out
}

// get returns the first value of a parameter.
func (p params) get(name string) string {
	for _, e := range p {
		if e.name == name {
			return e.value
		}
	}
	return ""
}

func (c *call) reading() bool { return c.method == http.MethodGet || c.method == http.MethodHead }

// formats checks what a client wants to send and to get.
func (c *call) formats() *failure {
	accept := c.Header.Get("Accept")
	if accept != "" && !strings.Contains(accept, "json") && !strings.Contains(accept, "*/*") && !strings.Contains(accept, "application/*") {
		return wrongAccept
	}
	if kind := c.Header.Get("Content-Type"); len(c.body) > 0 && kind != "" && !strings.Contains(kind, "json") {
		return wrongType
	}
	return nil
}

func (s *Server) tableAPI(c *call) reply {
	if fail := c.formats(); fail != nil {
		return failed(fail)
	}
	one := len(c.path) == 3
	switch {
	case c.reading():
		s.share(c.path[1])
		defer s.mu.RUnlock()
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	t := s.tables[c.path[1]]
	if t == nil {
		return failed(noTable(c.path[1]))
	}
	switch {
	case c.reading() && one:
		return s.getOne(c, t)
	case c.reading():
		return s.getList(c, t)
	case c.method == http.MethodPost && !one:
		return s.post(c, t)
	case (c.method == http.MethodPut || c.method == http.MethodPatch) && one:
		return s.patch(c, t)
	case c.method == http.MethodDelete && one:
		return s.delete(c, t)
	}
	return failed(wrongMethod)
}

// share takes the lock for reading a table, once all that readers would have to tidy up is tidy.
func (s *Server) share(name string) {
	for {
		s.mu.RLock()
		t := s.tables[name]
		if (t == nil || !t.dirty()) && s.choices != nil {
			return
		}
		s.mu.RUnlock()
		s.mu.Lock()
		if t != nil {
			t.settleAll()
		}
		s.loadChoices()
		s.mu.Unlock()
	}
}

func (s *Server) getOne(c *call, t *table) reply {
	if fail := s.readableTable(t, c.user, nil); fail != nil {
		return failed(fail)
	}
	r := t.find(c.path[2])
	if r == nil || !s.readable(r, c.user) {
		return failed(noRecord)
	}
	return s.result(c, http.StatusOK, r, t)
}

// result answers with one record.
func (s *Server) result(c *call, status int, r *row, t *table) reply {
	b := s.appendRow([]byte(`{"result":`), r, s.shape(c, t))
	return reply{status: status, header: http.Header{}, body: append(b, '}')}
}

// queryOf reads sysparm_query or, without one, the field=value pairs, which take display values too.
func (s *Server) queryOf(c *call, t *table) *query {
	if text := c.params.get("sysparm_query"); text != "" {
		return s.parse(t, text, c.user)
	}
	q := &query{}
	var group []clause
	for _, p := range c.params {
		f := s.path(t, p.name)
		if f == nil {
			continue
		}
		alt := clause{{path: f, op: "=", values: []string{p.value}}}
		for _, ch := range s.choicesOf(t, p.name) {
			if strings.EqualFold(ch.label, p.value) {
				alt = append(alt, &condition{path: f, op: "=", values: []string{ch.value}})
			}
		}
		if col := f.last(); col.kind == "reference" {
			alt = append(alt, &condition{path: f, op: "=", values: []string{s.fromDisplay(t, col, p.value, c.user)}})
		}
		for _, cond := range alt {
			cond.fit(f.last())
		}
		group = append(group, alt)
	}
	if len(group) > 0 {
		q.groups = [][]clause{group}
	}
	return q
}

func (s *Server) getList(c *call, t *table) reply {
	offset, _ := strconv.Atoi(c.params.get("sysparm_offset")) // what is no number counts as not sent
	if offset < 0 {
		return failed(negativeOffset)
	}
	limit, err := strconv.Atoi(c.params.get("sysparm_limit"))
	if err != nil || limit < 1 {
		limit = cmp.Or(s.on().DefaultLimit, s.options.DefaultLimit)
	}
	q := s.queryOf(c, t)
	if fail := s.readableTable(t, c.user, q); fail != nil {
		return failed(fail)
	}
	counted := c.params.get("sysparm_no_count") != "true"
	found := s.run(t, q, offset, limit, counted)
	// The limit came first; rows that may not be read leave holes in the page.
	sh := s.shape(c, t)
	b, n := []byte(`{"result":[`), 0
	for _, r := range found.rows {
		if !s.readable(r, c.user) {
			continue
		}
		if n > 0 {
			b = append(b, ',')
		}
		b = s.appendRow(b, r, sh)
		n++
	}
	if n == 0 && c.version == "v1" {
		return failed(noMatch)
	}
	h := http.Header{}
	if counted && c.params.get("sysparm_suppress_pagination_header") != "true" {
		if link := c.links(offset, limit, found.total); link != "" {
			h.Set("Link", link)
		}
	}
	h.Set("X-Total-Count", strconv.Itoa(found.total))
	return reply{status: http.StatusOK, header: h, body: append(b, "]}"...)}
}

// links is the Link header of a page, "" if there is but one.
func (c *call) links(offset, limit, total int) string {
	if total <= limit {
		return ""
	}
	var kept []string
	for _, p := range c.params {
		if p.name != "sysparm_offset" && p.name != "sysparm_limit" && p.name != keyHeader {
			kept = append(kept, p.raw)
		}
	}
	at := func(rel string, offset int) string {
		window := append(slices.Clone(kept), fmt.Sprintf("sysparm_offset=%d&sysparm_limit=%d", offset, limit))
		return fmt.Sprintf(`<%s%s?%s>;rel="%s"`, c.base(), c.URL.EscapedPath(), strings.Join(window, "&"), rel)
	}
	out := []string{at("first", 0)}
	if offset > 0 {
		out = append(out, at("prev", max(0, offset-limit)))
	}
	if offset+limit < total {
		out = append(out, at("next", offset+limit))
	}
	return strings.Join(append(out, at("last", (total-1)/limit*limit)), ",")
}

// fields reads the body of a write. Of several records the first counts.
func (c *call) fields() (map[string]string, *failure) {
	body := bytes.TrimSpace(c.body)
	if len(body) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var sent any
	if err := d.Decode(&sent); err != nil || d.More() {
		return nil, unreadable("The payload is not valid JSON")
	}
	if several, ok := sent.([]any); ok && len(several) > 0 {
		sent = several[0]
	}
	members, ok := sent.(map[string]any)
	if !ok {
		return nil, unreadable("The payload is not a JSON object")
	}
	out := make(map[string]string, len(members))
	for k, v := range members {
		switch v := v.(type) {
		case nil:
			out[k] = ""
		case string:
			out[k] = v
		case bool:
			out[k] = strconv.FormatBool(v)
		case json.Number:
			out[k] = v.String()
		default: // an object or a list is no value of any column
		}
	}
	return out, nil
}

// input is what a client writes, after the field ACLs.
func (s *Server) input(c *call, t *table, verb string) (input, *failure) {
	fields, fail := c.fields()
	if fail != nil {
		return input{}, fail
	}
	w := s.on()
	if !c.user.has("admin") && len(w.DropWrites)+len(w.DenyWrites) > 0 {
		fields = maps.Clone(fields)
		for name := range fields {
			if names(w.DenyWrites, t, name) {
				return input{}, denied(verb)
			}
			if names(w.DropWrites, t, name) {
				delete(fields, name)
			}
		}
	}
	return input{fields, c.params.get("sysparm_input_display_value") == "true"}, nil
}

// written answers a write with the record as it is now stored.
func (s *Server) written(c *call, status int, r *row, t *table) reply {
	var out reply
	if c.Header.Get("X-no-response-body") == "true" {
		if status == http.StatusOK {
			status = http.StatusNoContent
		}
		out = reply{status: status, header: http.Header{}}
	} else {
		s.loadChoices()
		out = s.result(c, status, r, t)
	}
	if status == http.StatusCreated {
		out.header.Set("Location", c.api()+"/table/"+t.name+"/"+r.id)
	}
	return out
}

func (s *Server) post(c *call, t *table) reply {
	in, fail := s.input(c, t, "Insert")
	if fail != nil {
		return failed(fail)
	}
	if !s.writable(t, http.MethodPost, c.user) {
		return failed(denied("Insert"))
	}
	r, fail := s.insert(t, c.user, in)
	if fail != nil {
		return failed(fail)
	}
	return s.written(c, http.StatusCreated, r, t)
}

func (s *Server) patch(c *call, t *table) reply {
	in, fail := s.input(c, t, "Update")
	if fail != nil {
		return failed(fail)
	}
	if !s.writable(t, http.MethodPatch, c.user) {
		return failed(denied("Update"))
	}
	r := t.find(c.path[2])
	if r == nil || !s.readable(r, c.user) {
		return failed(noRecord)
	}
	if !s.mayUpdate(r, c.user) {
		return failed(denied("Update"))
	}
	if fail := s.update(r, t, c.user, in); fail != nil {
		return failed(fail)
	}
	return s.written(c, http.StatusOK, r, t)
}

func (s *Server) delete(c *call, t *table) reply {
	if !s.writable(t, http.MethodDelete, c.user) {
		return failed(denied("Delete"))
	}
	r := t.find(c.path[2])
	if r == nil || !s.readable(r, c.user) {
		return failed(noRecord)
	}
	s.remove(r, c.user)
	return reply{status: http.StatusNoContent, header: http.Header{}}
}

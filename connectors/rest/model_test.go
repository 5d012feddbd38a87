package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A model is a small ticketing tool with the habits that real ones have, each behind a switch.
type model struct {
	paging string // "", offset, number, cursor, link
	cap    int    // most records on a page, whatever was asked for
	etag   bool   // If-Match is honoured
	revs   bool   // changes and deletes name the revision that they are of
	soft   bool   // errors come with a 200
	silent bool   // writes answer 204
	bare   bool   // new items take no weight, and nothing says so
	noDate bool   // answers carry no Date
	openTo bool   // a wrong key sees an empty list instead of an error
	files  string // how a file is taken: form (multipart), raw, token (two requests), inside (base64 in JSON, both ways), link (its content is at store)
	store  string // another server

	before func(w http.ResponseWriter, r *http.Request) bool // true: the request is answered already

	mu    sync.Mutex
	now   time.Time
	next  int
	items map[int]map[string]any
	notes map[int][]map[string]any
	kept  map[int][]*file
	blobs map[string]*file // uploaded, by token
	asked []string         // method and address of every request
}

const key = "k-123"

func newModel() *model {
	return &model{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), cap: 7, files: "form", items: map[int]map[string]any{}, notes: map[int][]map[string]any{}, kept: map[int][]*file{}, blobs: map[string]*file{}}
}

func (m *model) start(t testing.TB) string {
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	return srv.URL
}

func (m *model) stamp() string { return m.now.Format(time.RFC3339) }

func (m *model) add(f record.Fields) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	m.items[m.next] = map[string]any{"id": m.next, "title": nil, "ref": nil, "weight": nil, "owner": nil, "rev": 0}
	m.change(m.next, plain(f))
	return strconv.Itoa(m.next)
}

func plain(f record.Fields) map[string]any {
	out := map[string]any{}
	for p, v := range f {
		out[p] = v.Any()
	}
	return out
}

func (m *model) change(id int, f map[string]any) {
	it := m.items[id]
	for p, v := range f {
		if _, known := it[p]; known && p != "id" && p != "rev" {
			it[p] = v
		}
	}
	it["rev"] = it["rev"].(int) + 1
	it["updated"] = m.stamp()
}

func (m *model) edit(key string, f record.Fields) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, _ := strconv.Atoi(key)
	m.change(id, plain(f))
}

func (m *model) remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, _ := strconv.Atoi(key)
	delete(m.items, id)
}

func (m *model) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

func (m *model) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, r.Method+" "+r.URL.RequestURI())
	w.Header().Set("Date", m.now.Format(http.TimeFormat))
	if m.noDate {
		w.Header()["Date"] = nil
	}
	w.Header().Set("Content-Type", "application/json")
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "s"})
	if m.before != nil && m.before(w, r) {
		return
	}
	if len(r.Cookies()) > 0 {
		m.fail(w, 500, "a cookie came back")
		return
	}
	known := r.Header.Get("X-Key") == key
	segs := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/api/me":
		if !known {
			m.fail(w, 401, "who are you?")
			return
		}
		m.say(w, 200, map[string]any{"name": "sync"})
	case !known && !(m.openTo && r.Method == http.MethodGet):
		m.fail(w, 401, "who are you?")
	case r.URL.Path == "/api/items" && r.Method == http.MethodGet:
		m.list(w, r, known)
	case r.URL.Path == "/api/items":
		m.create(w, r)
	case r.URL.Path == "/api/uploads":
		m.upload(w, r)
	case len(segs) >= 3 && segs[1] == "items":
		id, _ := strconv.Atoi(segs[2])
		if m.items[id] == nil {
			m.fail(w, 404, "no such item")
			return
		}
		switch {
		case len(segs) > 3 && segs[3] == "files":
			m.drawer(w, r, id, segs[4:])
			return
		case len(segs) > 3:
			m.thread(w, r, id, segs[4:])
			return
		}
		m.single(w, r, id)
	default:
		m.fail(w, 404, "nothing here")
	}
}

func (m *model) say(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (m *model) fail(w http.ResponseWriter, status int, message string) {
	if m.soft {
		m.say(w, 200, map[string]any{"ok": false, "code": status, "errors": []string{message}})
		return
	}
	m.say(w, status, map[string]any{"errors": []string{message}})
}

func (m *model) list(w http.ResponseWriter, r *http.Request, known bool) {
	q := r.URL.Query()
	var all []map[string]any
	for _, it := range m.items {
		if ids := q.Get("ids"); ids != "" && !slices.Contains(strings.Split(ids, ","), fmt.Sprint(it["id"])) {
			continue
		}
		if from := q.Get("updated_from"); from != "" && it["updated"].(string) < from {
			continue
		}
		// Like many a tool it takes "Ab" and "aB" for the same.
		if ref := q.Get("ref"); ref != "" && !strings.EqualFold(fmt.Sprint(it["ref"]), ref) {
			continue
		}
		if known {
			all = append(all, it)
		}
	}
	slices.SortFunc(all, func(a, b map[string]any) int {
		if c := strings.Compare(b["updated"].(string), a["updated"].(string)); c != 0 {
			return c
		}
		return b["id"].(int) - a["id"].(int)
	})
	size, _ := strconv.Atoi(q.Get("limit"))
	if size = min(max(size, 1), m.cap); m.paging == "" || q.Get("ids") != "" {
		size = len(all)
	}
	from := 0
	switch m.paging {
	case "offset":
		from, _ = strconv.Atoi(q.Get("offset"))
	case "number", "link":
		n, _ := strconv.Atoi(q.Get("page"))
		from = (max(n, 1) - 1) * size
	case "cursor":
		from, _ = strconv.Atoi(strings.TrimPrefix(q.Get("cursor"), "c"))
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	answer := map[string]any{"items": all[from:to], "total": len(all), "next": nil}
	if from == to {
		answer["items"] = []any{}
	}
	if to < len(all) {
		switch m.paging {
		case "cursor":
			answer["next"] = fmt.Sprintf("c%d", to)
		case "link":
			q.Set("page", strconv.Itoa(from/size+2))
			// The tool knows itself by another name than we do.
			w.Header().Set("Link", fmt.Sprintf(`<http://inside.test%s>; rel="self", <http://inside.test%s?%s>; rel="next"`, r.URL.Path, r.URL.Path, q.Encode()))
		}
	}
	m.say(w, 200, answer)
}

func (m *model) body(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	var b struct {
		Item map[string]any `json:"item"`
	}
	d := json.NewDecoder(r.Body)
	if err := d.Decode(&b); err != nil {
		m.fail(w, 400, err.Error())
		return nil, false
	}
	if s, ok := b.Item["title"].(string); ok && len(s) > 8000 {
		m.fail(w, 422, "title is too long")
		return nil, false
	}
	return b.Item, true
}

func (m *model) create(w http.ResponseWriter, r *http.Request) {
	f, ok := m.body(w, r)
	if !ok {
		return
	}
	m.next++
	m.items[m.next] = map[string]any{"id": m.next, "title": nil, "ref": nil, "weight": nil, "owner": nil, "rev": 0}
	if m.bare {
		delete(f, "weight")
	}
	m.change(m.next, f)
	m.say(w, 201, map[string]any{"item": map[string]any{"id": m.next}})
}

func (m *model) single(w http.ResponseWriter, r *http.Request, id int) {
	it := m.items[id]
	tag := fmt.Sprintf(`"%d-%d"`, id, it["rev"])
	if m.etag {
		w.Header().Set("ETag", tag)
		if match := r.Header.Get("If-Match"); match != "" && match != tag {
			m.fail(w, 412, "changed")
			return
		}
	}
	if m.revs && r.Method == http.MethodDelete && r.URL.Query().Get("rev") != fmt.Sprint(it["rev"]) {
		m.fail(w, 409, "changed")
		return
	}
	switch r.Method {
	case http.MethodGet:
		m.say(w, 200, map[string]any{"item": it})
	case http.MethodPatch:
		f, ok := m.body(w, r)
		if !ok {
			return
		}
		if rev, number := f["rev"].(float64); m.revs && (!number || int(rev) != it["rev"]) {
			m.fail(w, 409, "changed")
			return
		}
		m.change(id, f)
		if m.silent {
			w.WriteHeader(204)
			return
		}
		m.say(w, 200, map[string]any{"item": it})
	case http.MethodDelete:
		delete(m.items, id)
		w.WriteHeader(204)
	}
}

func (m *model) thread(w http.ResponseWriter, r *http.Request, id int, below []string) {
	if r.Method == http.MethodGet {
		m.say(w, 200, map[string]any{"notes": append([]map[string]any{}, m.notes[id]...)})
		return
	}
	var b map[string]any
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
		m.fail(w, 400, err.Error())
		return
	}
	if r.Method == http.MethodPut {
		i := slices.IndexFunc(m.notes[id], func(n map[string]any) bool { return fmt.Sprint(n["id"]) == below[0] })
		if i < 0 {
			m.fail(w, 404, "no such note")
			return
		}
		m.notes[id][i]["text"], m.notes[id][i]["edited"] = b["text"], m.stamp()
		m.change(id, nil)
		m.say(w, 200, m.notes[id][i])
		return
	}
	m.next++
	note := map[string]any{"id": m.next, "text": b["text"], "by": "sync", "at": m.stamp()}
	m.notes[id] = append(m.notes[id], note)
	m.change(id, nil)
	if m.silent {
		w.WriteHeader(204)
		return
	}
	m.say(w, 201, note)
}

// Package sim is Brook, a small helpdesk with a REST interface. Nobody sells it: it is there to be connected by somebody
// who has never written a description, as mappings/own-tool.md leads through, and so it does what tools do when they were not
// made for that: every answer wraps what it has, errors come with a 200, times are milliseconds, ids are texts inside an
// object, a change has to name the revision that it is of, and a create tells only the id.
//
// [New] makes a desk with a few cases, which is an http.Handler. Start at ServeHTTP; what people do at it is in [Desk.Edit].
package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Key is what requests have to carry in the header X-Desk-Key.
const Key = "brook-key"

// A Desk is one helpdesk.
type Desk struct {
	mu      sync.Mutex
	now     func() time.Time
	cases   []*one
	remarks map[string][]remark
	papers  []*paper
	last    int64 // stamp of the last change
}

// one is a case.
type one struct {
	No, Heading, Story, Owner, Foreign string
	Phase, Weight, Rev                 int
	Touched                            int64 // milliseconds since 1970
}

type remark struct {
	ID   int    `json:"id"`
	Who  string `json:"who"`
	Said string `json:"said"`
	When int64  `json:"when"`
}

var phases = map[int]string{10: "New", 20: "Working", 30: "Waiting", 40: "Done"}

// New makes a desk with three cases.
func New(now func() time.Time) *Desk {
	d := &Desk{now: now, remarks: map[string][]remark{}}
	for _, c := range []one{
		{Heading: "Router 7 is down", Story: "No ping since noon", Phase: 10, Weight: 2, Owner: "ann"},
		{Heading: "Fan failure in rack 12", Story: "It is loud", Phase: 20, Weight: 3, Owner: "bob"},
		{Heading: "New badge for Eve", Phase: 30, Weight: 5},
	} {
		d.add(c)
	}
	return d
}

// stamp is now, and later than every stamp before, so that the order of changes can be told.
func (d *Desk) stamp() int64 {
	d.last = max(d.last+1, d.now().UnixMilli())
	return d.last
}

func (d *Desk) add(c one) *one {
	c.No, c.Rev, c.Touched = fmt.Sprintf("HD-%04d", len(d.cases)+1), 1, d.stamp()
	d.cases = append(d.cases, &c)
	return &c
}

// Edit changes a member of a case as a person at the desk does.
func (d *Desk) Edit(no, member, value string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.find(no)
	if c == nil {
		return fmt.Errorf("there is no case %s", no)
	}
	var v any = value
	if n, err := strconv.Atoi(value); err == nil {
		v = float64(n)
	}
	if why := d.change(c, map[string]any{member: v}); why != "" {
		return fmt.Errorf("%s: %s", no, why)
	}
	return nil
}

// Show lists the cases, a line each.
func (d *Desk) Show() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, c := range d.cases {
		fmt.Fprintf(&b, "%s|%s|%s|%d|%s\n", c.No, c.Heading, phases[c.Phase], c.Weight, c.Foreign)
	}
	return b.String()
}

func (d *Desk) find(no string) *one {
	if i := slices.IndexFunc(d.cases, func(c *one) bool { return c.No == no }); i >= 0 {
		return d.cases[i]
	}
	return nil
}

// ServeHTTP is the interface: /v3/self, /v3/cases, /v3/cases/NO, /v3/cases/NO/remarks and /v3/cases/NO/papers.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", d.now().UTC().Format(http.TimeFormat))
	if r.Header.Get("X-Desk-Key") != Key {
		w.WriteHeader(http.StatusUnauthorized)
		fault(w, "E01", "this key opens nothing")
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/v3/self":
		data(w, map[string]any{"name": "sync", "may": []string{"read", "write"}})
	case r.URL.Path == "/v3/cases" && r.Method == http.MethodGet:
		d.list(w, r)
	case r.URL.Path == "/v3/cases" && r.Method == http.MethodPost:
		d.create(w, r)
	case len(parts) > 2 && parts[1] == "cases":
		c := d.find(parts[2])
		switch {
		case c == nil:
			fault(w, "E04", "there is no case "+parts[2])
		case len(parts) == 4 && parts[3] == "remarks":
			d.talk(w, r, c)
		case len(parts) > 3 && parts[3] == "papers":
			d.file(w, r, c, parts[4:])
		case r.Method == http.MethodPatch:
			d.patch(w, r, c)
		default:
			data(w, c.shown())
		}
	default:
		fault(w, "E05", "there is nothing at "+r.URL.Path)
	}
}

func data(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"ok": true, "data": v})
}

func fault(w http.ResponseWriter, code, text string) {
	_ = json.NewEncoder(w).Encode(map[string]any{"ok": false, "fault": map[string]any{"code": code, "text": text}})
}

// shown is a case as answers have it.
func (c *one) shown() map[string]any {
	return map[string]any{
		"ref": map[string]any{"no": c.No}, "heading": c.Heading, "story": c.Story, "phase": map[string]any{"code": c.Phase, "name": phases[c.Phase]},
		"weight": c.Weight, "owner": c.Owner, "rev": c.Rev, "touched": c.Touched, "extra": map[string]any{"foreign": c.Foreign},
	}
}

// most is how many rows an answer has, whatever was asked for.
const most = 50

// list shows cases, what was touched last first. Where to go on is told by a word that means nothing to others.
func (d *Desk) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	sorted := slices.SortedFunc(slices.Values(d.cases), func(a, b *one) int { return cmp.Compare(b.Touched, a.Touched) })
	after, _ := strconv.ParseInt(q.Get("touched_after"), 10, 64)
	before, _ := strconv.ParseInt(strings.TrimPrefix(q.Get("from"), "before-"), 10, 64)
	take, err := strconv.Atoi(q.Get("take"))
	if err != nil || take < 1 || take > most {
		take = most
	}
	rows, resume := []any{}, any(nil)
	for _, c := range sorted {
		if c.Touched < after || before > 0 && c.Touched >= before || q.Has("foreign") && c.Foreign != q.Get("foreign") {
			continue
		}
		if len(rows) == take {
			resume = fmt.Sprintf("before-%d", before)
			break
		}
		rows, before = append(rows, c.shown()), c.Touched
	}
	data(w, map[string]any{"rows": rows, "resume": resume})
}

// taken is the case in the body of a write.
func taken(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	var b struct {
		Case map[string]any `json:"case"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&b); err != nil || b.Case == nil {
		fault(w, "E21", `a write is {"case": {…}}`)
		return nil, false
	}
	return b.Case, true
}

func (d *Desk) create(w http.ResponseWriter, r *http.Request) {
	in, ok := taken(w, r)
	if !ok {
		return
	}
	c := &one{Phase: 10, Weight: 3}
	if why := d.change(c, in); why != "" {
		fault(w, "E22", why)
		return
	}
	if c.Heading == "" {
		fault(w, "E22", "a case has a heading")
		return
	}
	data(w, map[string]any{"ref": map[string]any{"no": d.add(*c).No}})
}

func (d *Desk) patch(w http.ResponseWriter, r *http.Request, c *one) {
	in, ok := taken(w, r)
	if !ok {
		return
	}
	if rev, number := in["rev"].(float64); !number || int(rev) != c.Rev {
		fault(w, "E09", fmt.Sprintf("the case is at rev %d; say which one you change", c.Rev))
		return
	}
	delete(in, "rev")
	if why := d.change(c, in); why != "" {
		fault(w, "E22", why)
		return
	}
	data(w, nil)
}

// change puts members into a case, all or none, and says why not.
func (d *Desk) change(c *one, in map[string]any) string {
	next := *c
	for name, v := range in {
		text, isText := v.(string)
		number, isNumber := v.(float64)
		switch {
		case name == "heading" && isText && utf8.RuneCountInString(text) <= 80:
			next.Heading = text
		case name == "story" && (isText || v == nil):
			next.Story = text
		case name == "owner" && (isText || v == nil):
			next.Owner = text
		case name == "foreign" && (isText || v == nil):
			next.Foreign = text
		case name == "phase" && isNumber && phases[int(number)] != "":
			next.Phase = int(number)
		case name == "weight" && isNumber && number >= 1 && number <= 5:
			next.Weight = int(number)
		default:
			return fmt.Sprintf("%s cannot be %v", name, v)
		}
	}
	next.Rev++
	next.Touched = d.stamp()
	*c = next
	return ""
}

func (d *Desk) talk(w http.ResponseWriter, r *http.Request, c *one) {
	if r.Method != http.MethodPost {
		data(w, map[string]any{"rows": append([]remark{}, d.remarks[c.No]...)})
		return
	}
	var b struct {
		Said string `json:"said"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&b); err != nil || b.Said == "" {
		fault(w, "E21", `a remark is {"said": "…"}`)
		return
	}
	c.Touched = d.stamp()
	n := 0
	for _, list := range d.remarks {
		n += len(list)
	}
	said := remark{ID: n + 1, Who: "sync", Said: b.Said, When: c.Touched}
	d.remarks[c.No] = append(d.remarks[c.No], said)
	data(w, said)
}

package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/report"
)

// How much one page shows of a long list.
const (
	perPage = 50
	hits    = 50
)

// A Pager is where a page stands in a list.
type Pager struct {
	Skip int `json:"skip"`
	// Next is what the next page leaves out; 0: there is none.
	Next int `json:"next"`
	Of   int `json:"of"` // how many there are; -1: not known
}

// From and To are the first and last shown, counted from one.
func (p Pager) From() int { return p.Skip + 1 }

// Back is what the page before leaves out.
func (p Pager) Back() int { return max(0, p.Skip-perPage) }

// number reads a parameter of the query that is a number; what is missing is fallback.
func number(r *http.Request, name string, fallback int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxSkip && name == "skip" {
		return 0, refuse("%s=%q is no number that can be used here", name, text)
	}
	return n, nil
}

// maxSkip bounds how far into a list one may leaf.
const maxSkip = 1_000_000

// cut is the page of a list that begins after skip.
func cut[T any](list []T, skip int) ([]T, Pager) {
	p := Pager{Skip: min(skip, len(list)), Of: len(list)}
	end := min(p.Skip+perPage, len(list))
	if end < len(list) {
		p.Next = end
	}
	return list[p.Skip:end], p
}

// pathNumber reads a number from the path.
func pathNumber(r *http.Request, name string) (int64, error) {
	n, err := strconv.ParseInt(r.PathValue(name), 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%w: %q is no number", ErrNotFound, r.PathValue(name))
	}
	return n, nil
}

// A SyncPage is one sync with its rules.
type SyncPage struct {
	Card  SyncCard   `json:"sync"`
	Rules *Rules     `json:"rules,omitempty"`
	Wrong *Problem   `json:"wrong,omitempty"` // why there are no rules
	Runs  []plan.Run `json:"runs"`
}

func (p SyncPage) title() string { return p.Card.Name() }

func (c *Console) sync(r *http.Request) (SyncPage, error) {
	var v SyncPage
	s, err := c.named(r.Context(), r.PathValue("sync"))
	if err != nil {
		return v, err
	}
	if v.Card, err = c.card(r, s); err != nil {
		return v, err
	}
	if s.Known {
		rules, err := c.b.Rules(r.Context(), s.Name())
		if err != nil {
			p := c.problem(err)
			v.Wrong = &p
		} else {
			v.Rules = &rules
		}
	}
	v.Runs, err = c.b.Runs(r.Context(), s.Name(), maxID, 10)
	return v, err
}

// named finds a sync.
func (c *Console) named(ctx context.Context, name string) (Sync, error) {
	syncs, err := c.b.Syncs(ctx)
	if err != nil {
		return Sync{}, err
	}
	for _, s := range syncs {
		if s.Name() == name {
			return s, nil
		}
	}
	return Sync{}, fmt.Errorf("%w: there is no sync %q", ErrNotFound, name)
}

// A PreviewPage is a preview with the sync that it is of.
type PreviewPage struct {
	Card    SyncCard `json:"sync"`
	Preview *Preview `json:"preview,omitempty"`
	Pager   Pager    `json:"page"`
}

func (p PreviewPage) title() string { return "Preview of " + p.Card.Name() }

func (c *Console) preview(r *http.Request) (PreviewPage, error) {
	var v PreviewPage
	skip, err := number(r, "skip", 0)
	if err != nil {
		return v, err
	}
	s, err := c.named(r.Context(), r.PathValue("sync"))
	if err != nil {
		return v, err
	}
	if v.Card, err = c.card(r, s); err != nil {
		return v, err
	}
	if v.Preview, err = c.b.Preview(r.Context(), s.Name()); err == nil && v.Preview != nil {
		v.Preview.Steps, v.Pager = cut(v.Preview.Steps, int(skip))
	}
	return v, err
}

// A RunsPage is runs, newest first.
type RunsPage struct {
	Sync   string     `json:"sync"`
	Syncs  []string   `json:"syncs"`
	Runs   []plan.Run `json:"runs"`
	Before int64      `json:"before"` // where the next page begins; 0: there is none
	First  bool       `json:"first"`
}

func (c *Console) runs(r *http.Request) (RunsPage, error) {
	v := RunsPage{Sync: r.URL.Query().Get("sync")}
	before, err := number(r, "before", maxID)
	if err != nil {
		return v, err
	}
	v.First = before == maxID
	if v.Syncs, err = c.names(r.Context(), v.Sync); err != nil {
		return v, err
	}
	if v.Runs, err = c.b.Runs(r.Context(), v.Sync, before, perPage+1); len(v.Runs) > perPage {
		v.Runs = v.Runs[:perPage]
		v.Before = v.Runs[perPage-1].ID
	}
	return v, err
}

// names lists the syncs to choose from; chosen has to be one of them, or "".
func (c *Console) names(ctx context.Context, chosen string) ([]string, error) {
	syncs, err := c.b.Syncs(ctx)
	if err != nil {
		return nil, err
	}
	list := []string{}
	for _, s := range syncs {
		list = append(list, s.Name())
	}
	if chosen != "" && !slices.Contains(list, chosen) {
		return nil, fmt.Errorf("%w: there is no sync %q", ErrNotFound, chosen)
	}
	return list, nil
}

// A RunPage is one run.
type RunPage struct {
	Run   Run   `json:"run"`
	Pager Pager `json:"page"`
}

func (p RunPage) title() string { return fmt.Sprintf("Run %d of %s", p.Run.ID, p.Run.Sync) }

func (c *Console) run(r *http.Request) (RunPage, error) {
	var v RunPage
	skip, err := number(r, "skip", 0)
	if err != nil {
		return v, err
	}
	id, err := pathNumber(r, "id")
	if err != nil {
		return v, err
	}
	if v.Run, err = c.b.Run(r.Context(), id); err == nil {
		v.Run.Steps, v.Pager = cut(v.Run.Steps, int(skip))
	}
	return v, err
}

// A WaitingPage is what waits.
type WaitingPage struct {
	Sync  string    `json:"sync"`
	Syncs []string  `json:"syncs"`
	List  []Waiting `json:"waiting"`
	Pager Pager     `json:"page"`
}

func (c *Console) conflicts(r *http.Request) (WaitingPage, error) { return c.waiting(r, true) }
func (c *Console) holds(r *http.Request) (WaitingPage, error)     { return c.waiting(r, false) }

func (c *Console) waiting(r *http.Request, conflicts bool) (WaitingPage, error) {
	v := WaitingPage{Sync: r.URL.Query().Get("sync"), Pager: Pager{Of: -1}}
	skip, err := number(r, "skip", 0)
	if err != nil {
		return v, err
	}
	if v.Syncs, err = c.names(r.Context(), v.Sync); err != nil {
		return v, err
	}
	list, more, err := c.b.Waiting(r.Context(), WaitingQuery{Sync: v.Sync, Conflicts: conflicts, Skip: int(skip), Most: perPage})
	v.List, v.Pager.Skip = list, int(skip)
	if more {
		v.Pager.Next = int(skip) + perPage
	}
	return v, err
}

// A RecordPage is one record with the story of its values.
type RecordPage struct {
	Record Record  `json:"record"`
	Story  []Event `json:"story"` // newest first
	Pager  Pager   `json:"page"`
}

func (p RecordPage) title() string { return pairName(p.Record.Keys, p.Record.Labels) }

// An Event is a value that a path got.
type Event struct {
	Side      string             `json:"side"`
	Path      string             `json:"path"`
	From      *report.ValueBlame `json:"from,omitempty"` // what was there before; nil where nothing is known of that
	To        report.ValueBlame  `json:"to"`
	RuleAt    string             `json:"rule_at,omitempty"`
	Sensitive bool               `json:"sensitive"`
}

// slow is how long systems may take to answer what a page asks.
const slow = 30 * time.Second

func (c *Console) record(r *http.Request) (RecordPage, error) {
	var v RecordPage
	skip, err := number(r, "skip", 0)
	if err != nil {
		return v, err
	}
	q := r.URL.Query()
	sync, key := q.Get("sync"), q.Get("key")
	if sync == "" || key == "" {
		return v, refuse("name a record: sync=SYNC and key=KEY")
	}
	ctx, cancel := context.WithTimeout(r.Context(), slow)
	defer cancel()
	if v.Record, err = c.b.Record(ctx, sync, key); err != nil {
		return v, err
	}
	v.Story, v.Pager = cut(story(v.Record), int(skip))
	return v, nil
}

// story puts the values of all paths in one row, newest first. What nobody knows the time of comes last.
func story(rec Record) []Event {
	list := []Event{}
	for _, p := range rec.Paths {
		for i, val := range p.Values {
			if i+1 == len(p.Values) && val.Value.Empty() {
				continue // it never held anything before
			}
			e := Event{Side: p.Side, Path: p.Path, To: val, RuleAt: rec.RulesAt[val.Rule], Sensitive: p.Sensitive}
			if i+1 < len(p.Values) {
				e.From = &p.Values[i+1]
			}
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b Event) int { return b.To.At.Compare(a.To.At) })
	return list
}

// A SearchPage is what was found.
type SearchPage struct {
	Query string   `json:"q"`
	Sync  string   `json:"sync"`
	Syncs []string `json:"syncs"`
	Hits  []Hit    `json:"hits"`
	More  bool     `json:"more"` // there may be others: a longer text finds them
}

func (c *Console) search(r *http.Request) (SearchPage, error) {
	q := r.URL.Query()
	v := SearchPage{Query: q.Get("q"), Sync: q.Get("sync"), Hits: []Hit{}}
	var err error
	if v.Syncs, err = c.names(r.Context(), v.Sync); err != nil || v.Query == "" {
		return v, err
	}
	v.Hits, v.More, err = c.b.Find(r.Context(), v.Sync, v.Query, hits)
	return v, err
}

// A RestorePage is what restoring a value would write.
type RestorePage struct {
	Put report.Put `json:"put"`
}

func (c *Console) restore(r *http.Request) (RestorePage, error) {
	id, err := pathNumber(r, "id")
	if err != nil {
		return RestorePage{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), slow)
	defer cancel()
	put, err := c.b.Putback(ctx, id)
	return RestorePage{put}, err
}

// An ActsPage is what people did.
type ActsPage struct {
	Acts []engine.Act `json:"acts"`
	Most int          `json:"most"` // older ones are not shown
}

// lastActs is how many of them a page shows.
const lastActs = 200

func (c *Console) acts(r *http.Request) (ActsPage, error) {
	list, err := c.b.Acts(r.Context(), lastActs)
	return ActsPage{list, lastActs}, err
}

// A ConnectionsPage is every system.
type ConnectionsPage struct {
	Connections []Connection `json:"connections"`
}

func (c *Console) connections(r *http.Request) (ConnectionsPage, error) {
	list, err := c.b.Connections(r.Context())
	return ConnectionsPage{list}, err
}

func (c *Console) mappings(*http.Request) (Mappings, error) { return c.b.Mappings() }

func (f File) title() string { return f.Name }

func (c *Console) file(r *http.Request) (File, error) { return c.b.File(r.PathValue("file")) }

// recordAt is the page of a record.
func recordAt(sync, key string) string {
	return "/record?" + url.Values{"sync": {sync}, "key": {key}}.Encode()
}

// pairName names two records in a line.
func pairName(keys, labels [2]string) string {
	name := ""
	for _, s := range sides {
		one := labels[s]
		if one == "" {
			one = keys[s]
		}
		if one != "" && name != "" {
			name += " ⇄ "
		}
		name += one
	}
	return name
}

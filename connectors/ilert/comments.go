package ilert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
)

// pathComments is the one thread of an alert, which those who are on call read.
const pathComments = "comments"

// spoken are the log entries that are comments.
var spoken = []string{"AlertCommentAddedLogEntry", "AlertCommentAddedBySystemLogEntry"}

// entry is a line of an alert's log.
type entry struct {
	ID   json.RawMessage `json:"id"`
	At   string          `json:"timestamp"`
	Type string          `json:"logEntryType"`
	Text string          `json:"text"`
}

// said is an entry as a comment. Its text is a sentence for people in which the comment stands somewhere: what the
// pattern of the collection finds counts, and where it finds nothing the whole sentence.
func (c *Collection) said(e entry) connectors.Comment {
	said := connectors.Comment{ID: plain(e.ID), Text: e.Text}
	said.Time, _ = time.Parse(time.RFC3339, e.At) // unreadable: the zero time
	if m := c.comment.FindStringSubmatch(e.Text); m != nil {
		said.Text = m[c.comment.SubexpIndex("text")]
		if i := c.comment.SubexpIndex("author"); i >= 0 {
			said.Author = m[i]
		}
	}
	return said
}

// pageOfEntries is the most entries that ilert gives at a time.
const pageOfEntries = 100

// entries reads the comments in an alert's log.
func (c *Collection) entries(ctx context.Context, op, id string) ([]entry, error) {
	if _, err := strconv.ParseInt(id, 10, 64); err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Detail: fmt.Sprintf("%q cannot be the id of an alert", shorten(id))}
	}
	var list []entry
	seen := map[string]bool{}
	for start := 0; ; start += pageOfEntries - 1 { // a new entry moves the others to the next page
		q := url.Values{"lang": {"en"}, "filter-types": {"ALERT_UPDATES"}, "start-index": {strconv.Itoa(start)}, "max-results": {strconv.Itoa(pageOfEntries)}}
		var page []entry
		if err := c.conn.client.get(ctx, op, "/alerts/"+id+"/log-entries", q, &page); err != nil {
			return nil, err
		}
		for _, e := range page {
			if key := plain(e.ID); key != "" && !seen[key] && slices.Contains(spoken, e.Type) {
				seen[key] = true
				list = append(list, e)
			}
		}
		if len(page) < pageOfEntries {
			return list, nil
		}
	}
}

// resting is how long after an alert was resolved somebody may still say something about it that is heard without a key.
const resting = 24 * time.Hour

// Comments reads the logs of alerts one by one. Without keys those of all alerts that are open, or were resolved not
// long before since; ilert has no list of comments.
func (c *Collection) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	op := "read comments of " + c.name
	if path != pathComments {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("alerts have no comments %q", path), Hint: `write "comments"`}
	}
	if keys == nil {
		sel, err := c.selection(ctx, op)
		if err != nil {
			return err
		}
		ended := find("resolvedOn")
		if err := c.list(ctx, op, sel, func(a alert) error {
			if at := ended.value(a).Time(); since.IsZero() || a.open() || at.IsZero() || at.After(since.Add(-resting)) {
				keys = append(keys, a.id())
			}
			return nil
		}); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.conn.flight)
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		g.Go(func() error {
			list, err := c.entries(gctx, op, key)
			if errors.Is(err, connectors.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, e := range list {
				if gctx.Err() != nil {
					return gctx.Err() // the caller has had enough
				}
				said := c.said(e)
				if !since.IsZero() && !said.Time.IsZero() && said.Time.Before(since.Truncate(time.Second)) {
					continue
				}
				if err := emit(key, said); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// creator is who our comments are by.
const creator = "fieldsync"

// AddComment says something about an open alert by an event, as the REST API cannot, and returns it when it stands in
// the log.
func (c *Collection) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := "comment on alert " + key
	none := connectors.Comment{}
	if path != pathComments {
		return none, &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("alerts have no comments %q", path), Hint: `write "comments"`}
	}
	source, err := c.through(ctx, op)
	if err != nil {
		return none, err
	}
	a, err := c.one(ctx, op, key)
	if err != nil {
		return none, unsent(op, err)
	}
	if err := c.reachable(ctx, op, a, source); err != nil {
		return none, unsent(op, err)
	}
	before := map[string]bool{}
	list, err := c.entries(ctx, op, key)
	if err != nil {
		return none, unsent(op, err)
	}
	for _, e := range list {
		before[plain(e.ID)] = true
	}
	body := event{Key: c.key.Reveal(), Type: "COMMENT", AlertKey: plain(a[pathKey]), Summary: plain(a[pathSummary]), Comments: []eventComment{{creator, text}}}
	if _, err := c.conn.client.send(ctx, &call{op: op, method: http.MethodPost, path: "/events", body: body, event: true}); err != nil {
		return none, err
	}
	added := none
	err = c.look(ctx, func() (bool, error) {
		list, err := c.entries(ctx, op, key)
		for _, e := range list {
			if !before[plain(e.ID)] && strings.Contains(trimmed(e.Text), trimmed(text)) && added.ID == "" {
				added = c.said(e)
			}
		}
		return added.ID != "", err
	})
	if err != nil || added.ID == "" {
		e := &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Err: err, Detail: "ilert took the comment, and it has not been seen in the alert's log yet",
			Hint: "look at the event log of the alert source: a filter drops events there without a word"}
		if err != nil {
			e.Detail += ": " + err.Error()
		}
		return none, e
	}
	return added, nil
}

// trimmed is what is left of a text after a system stored it.
func trimmed(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

// reachable says why an event with an alert's key would not find the alert.
func (c *Collection) reachable(ctx context.Context, op string, a alert, source string) error {
	refused := &connectors.Error{Kind: connectors.ErrRefused, Op: op}
	key := plain(a[pathKey])
	switch {
	case a.source() != source:
		refused.Detail, refused.Hint = fmt.Sprintf("the alert is of the source %s, and the integration key of %s", a.source(), source), "sync each source with a collection of its own that has the source's key"
		return refused
	case !a.open():
		refused.Detail, refused.Hint = "the alert is resolved, and events only find open ones", "nothing can be done: ilert has no other way to add a comment"
		return refused
	case key == "":
		refused.Detail, refused.Hint = "the alert has no alertKey, so no event finds it", "it was made by hand or by a source that sends no key; ilert has no other way to add a comment"
		return refused
	}
	return c.list(ctx, op, selection{sources: []string{source}, states: []string{pending, accepted}}, func(o alert) error {
		if o.id() == a.id() || !o.keyed(key) {
			return nil
		}
		refused.Detail = fmt.Sprintf("the alert %s is open, too, and has the same key %q: which of the two gets the comment is not for sure", o.id(), key)
		refused.Hint = "resolve one of the two"
		return refused
	})
}

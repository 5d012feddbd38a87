package engine

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// comments carries new comments of one link to one side, one after the other. Behind one that fails the others wait.
func (c *carrier) comments(ctx context.Context, units []unit) error {
	for i, u := range units {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if a := u.Item.Action; !c.allowed(*a) {
			c.deafen(a)
			continue
		}
		// From here on the comment is carried through: stopping waits for its end.
		carry := c.comment
		if u.Item.Action.Entry.Copy != "" {
			carry = c.edit
		}
		done, err := carry(context.WithoutCancel(ctx), u)
		if err != nil {
			return err
		}
		if done {
			continue
		}
		for _, u := range units[i+1:] {
			if c.allowed(*u.Item.Action) {
				c.result(plan.Result{Action: *u.Item.Action, Outcome: plan.Skipped, Why: "an earlier comment of this record could not be carried"})
			}
		}
		return nil
	}
	return nil
}

// deafen makes the next run listen from where this one did: something that it heard was not approved.
func (c *carrier) deafen(a *plan.Action) {
	c.mu.Lock()
	c.r.beside.ears[a.Kind][a.Side.Other()].deaf = true
	c.mu.Unlock()
}

// comment adds one comment, with its intent, and remembers it.
func (c *carrier) comment(ctx context.Context, u unit) (done bool, err error) {
	r, a, e := c.r, *u.Item.Action, u.Item.Action.Entry
	res := plan.Result{Action: a, Outcome: plan.Done, Key: a.Key, Label: a.Label}
	fail := func(intent int64, err error) (bool, error) {
		return false, c.fails(ctx, spot{plan.Comment, a.Side.Other(), a.Link, ""}, u, res, intent, err)
	}
	w, ok := connectors.As[connectors.Commenter](r.job.Ends[a.Side].Handle)
	if !ok {
		return fail(0, &connectors.Error{Kind: connectors.ErrRefused, Op: "comment on " + a.Collection, Detail: "no comments can be added through this connector"})
	}
	in := Intent{Link: a.Link, Kind: plan.Comment, Side: a.Side, Key: a.Key, Twin: a.From.Key, Marker: e.ID,
		New: record.Fields{e.Path: record.OfText(e.Text)}, Source: record.Fields{"": record.OfInt(int64(u.Source))}, At: r.now(), Run: c.run}
	if err := c.announce(ctx, &in); err != nil {
		return false, err
	}
	added, err := w.AddComment(ctx, e.Path, a.Key, e.Text)
	if err != nil && unknownOutcome(err) {
		found, ferr := r.said(ctx, in)
		if ferr != nil || found == nil {
			return fail(-in.ID, err)
		}
		added, err, res.Why = *found, nil, "the answer was lost, the comment was found there"
	}
	if err != nil {
		return fail(in.ID, err)
	}
	if err := r.book.Fold(ctx, []Fold{r.carried(in, added.ID)}); err != nil {
		return false, fmt.Errorf("remember: %w", err)
	}
	c.result(res)
	r.log().Info("wrote", "run", c.run, "link", a.Link, "op", a.Kind, "side", a.SideName, "record", cmpOr(a.Label, a.Key), "outcome", res.Outcome)
	return true, nil
}

// edit changes one copy, with its intent. No other comment waits for that.
func (c *carrier) edit(ctx context.Context, u unit) (done bool, err error) {
	r, a, e := c.r, *u.Item.Action, u.Item.Action.Entry
	res := plan.Result{Action: a, Outcome: plan.Done, Key: a.Key, Label: a.Label}
	fail := func(intent int64, err error) (bool, error) {
		return true, c.fails(ctx, spot{plan.Comment, a.Side.Other(), a.Link, e.ID}, u, res, intent, err)
	}
	w, ok := connectors.As[connectors.CommentEditor](r.job.Ends[a.Side].Handle)
	if !ok {
		return fail(0, &connectors.Error{Kind: connectors.ErrRefused, Op: "edit a comment of " + a.Collection, Detail: "no comments can be changed through this connector"})
	}
	in := Intent{Link: a.Link, Kind: plan.Comment, Side: a.Side, Key: a.Key, Twin: a.From.Key, Marker: e.ID, Version: e.Copy,
		Expected: record.Fields{e.Path: record.OfText(e.Was)}, New: record.Fields{e.Path: record.OfText(e.Text)}, Source: record.Fields{"": record.OfInt(int64(u.Source))}, At: r.now(), Run: c.run}
	if err := c.announce(ctx, &in); err != nil {
		return false, err
	}
	_, err = w.EditComment(ctx, e.Path, a.Key, e.Copy, e.Was, e.Text)
	if err != nil && unknownOutcome(err) {
		if found, ferr := r.said(ctx, in); ferr != nil || found == nil {
			return fail(-in.ID, err)
		}
		err, res.Why = nil, "the answer was lost, the edit was found there"
	}
	if err != nil { // among others, that the copy was changed or removed since it was looked at
		return fail(in.ID, err)
	}
	if err := r.book.Fold(ctx, []Fold{r.carried(in, e.Copy)}); err != nil {
		return false, fmt.Errorf("remember: %w", err)
	}
	c.result(res)
	r.log().Info("wrote", "run", c.run, "link", a.Link, "op", a.Kind, "side", a.SideName, "record", cmpOr(a.Label, a.Key), "outcome", res.Outcome, "edit", true)
	return true, nil
}

// carried remembers that the comment of an intent has a copy.
func (r *Run) carried(in Intent, id string) Fold {
	_, text := in.entry()
	entry := ""
	if in.Version != "" {
		entry = in.Marker // an edit waits by itself
	}
	return Fold{Intent: in.ID, Beside: r.cleared(spot{plan.Comment, in.Side.Other(), in.Link, entry}), Threads: []Thread{{Source: uint64(in.Source[""].Int()), Link: in.Link, Side: in.Side.Other(), ID: in.Marker, Copy: id, Hash: textHash(text), At: in.At, Run: in.Run}}}
}

// entry is what an intent of a comment adds, and where.
func (in Intent) entry() (path, text string) {
	for p, v := range in.New {
		return p, v.Text()
	}
	return "", ""
}

// said looks for the comment that an intent was to add: the first one with its text since then that is no other
// comment's copy. nil when it is not there.
func (r *Run) said(ctx context.Context, in Intent) (*connectors.Comment, error) {
	path, text := in.entry()
	reader, ok := connectors.As[connectors.CommentReader](r.job.Ends[in.Side].Handle)
	if !ok {
		return nil, &connectors.Error{Kind: connectors.ErrDenied, Op: "read " + path, Detail: "comments cannot be read through this connector"}
	}
	known, err := r.known(ctx, in.Link)
	if err != nil {
		return nil, err
	}
	const slack = time.Minute // of clocks that were not measured
	since := r.theirs(in.Side, in.At).Add(-slack)
	if in.Version != "" {
		since = time.Time{}
	}
	var found *connectors.Comment
	err = reader.Comments(ctx, path, []string{in.Key}, since, func(_ string, c connectors.Comment) error {
		late := c.Time.IsZero() || !c.Time.Before(since)
		if in.Version != "" { // an edit of a copy: it says so by now, or not
			if c.ID == in.Version && plainText(c.Text) == plainText(text) {
				found = &c
			}
			return nil
		}
		first := found == nil || cmp.Or(c.Time.Compare(found.Time), cmp.Compare(c.ID, found.ID)) < 0
		if late && first && c.ID != "" && !known.ids[in.Side][c.ID] && plainText(c.Text) == plainText(text) {
			found = &c
		}
		return nil
	})
	return found, err
}

// threads are the comments of one link that need nothing any more.
type threads struct {
	any    bool
	rows   [2]map[string]Thread // by the side that they were written on
	ids    [2]map[string]bool   // by the side that they stand on
	unread [2]map[uint64]Thread // copies that could not be read when they were made, by their text
}

func (r *Run) known(ctx context.Context, link int64) (threads, error) {
	var k threads
	for _, s := range record.Sides {
		k.rows[s] = map[string]Thread{}
		k.ids[s], k.unread[s] = map[string]bool{}, map[uint64]Thread{}
	}
	err := r.book.Threads(ctx, link, func(t Thread) error {
		k.any = true
		k.rows[t.Side][t.ID] = t
		k.ids[t.Side][t.ID] = true
		switch o := t.Side.Other(); {
		case t.Copy != "":
			k.ids[o][t.Copy] = true
		case t.Hash != 0:
			k.unread[o][t.Hash] = t
		}
		return nil
	})
	return k, err
}

// plainText is a comment's text without what systems change about it.
func plainText(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n"))
}

func textHash(s string) uint64 { return max(keyHash(plainText(s)), 1) }

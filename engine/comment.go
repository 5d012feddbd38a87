package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
		a := *u.Item.Action
		if !c.allowed(a) {
			c.deafen(a.Side.Other())
			continue
		}
		// From here on the comment is carried through: stopping waits for its end.
		done, err := c.comment(context.WithoutCancel(ctx), a)
		if err != nil {
			return err
		}
		if done {
			continue
		}
		c.deafen(a.Side.Other())
		for _, u := range units[i+1:] {
			if c.allowed(*u.Item.Action) {
				c.result(plan.Result{Action: *u.Item.Action, Outcome: plan.Skipped, Why: "an earlier comment of this record could not be carried"})
			}
		}
		return nil
	}
	return nil
}

func (c *carrier) deafen(s record.Side) {
	c.mu.Lock()
	c.r.ears[s].deaf = true
	c.mu.Unlock()
}

// comment adds one comment, with its intent, and remembers it.
func (c *carrier) comment(ctx context.Context, a plan.Action) (done bool, err error) {
	r, e := c.r, a.Entry
	res := plan.Result{Action: a, Outcome: plan.Done, Key: a.Key, Label: a.Label}
	fail := func(err error, hint string) (bool, error) {
		res.Outcome, res.Why, res.Hint = plan.Failed, err.Error(), hint
		c.result(res)
		return false, nil
	}
	w, ok := r.job.Ends[a.Side].Handle.(connectors.Commenter)
	if !ok {
		return fail(&connectors.Error{Kind: connectors.ErrRefused, Op: "comment on " + a.Collection, Detail: "no comments can be added through this connector"}, "")
	}
	in := Intent{Link: a.Link, Kind: plan.Comment, Side: a.Side, Key: a.Key, Twin: a.From.Key, Marker: e.ID,
		New: record.Fields{e.Path: record.OfText(e.Text)}, At: r.now(), Run: c.run}
	if err := r.book.Intend(ctx, []*Intent{&in}); err != nil {
		return false, fmt.Errorf("write down the intent: %w", err)
	}
	added, err := w.AddComment(ctx, e.Path, a.Key, e.Text)
	if err != nil && unknownOutcome(err) {
		found, ferr := r.said(ctx, in)
		if ferr != nil || found == nil {
			return fail(err, "nobody knows whether this comment was added: the next run looks before it does anything else")
		}
		added, err, res.Why = *found, nil, "the answer was lost, the comment was found there"
	}
	if err != nil {
		if ferr := r.book.Fold(ctx, []Fold{{Intent: in.ID}}); ferr != nil {
			return false, errors.Join(err, fmt.Errorf("remember: %w", ferr))
		}
		if errors.Is(err, connectors.ErrAuth) || errors.Is(err, connectors.ErrOffline) {
			return false, fmt.Errorf("%s: %w", a.SideName, err)
		}
		return fail(err, connectors.Hint(err))
	}
	if err := r.book.Fold(ctx, []Fold{r.carried(in, added.ID)}); err != nil {
		return false, fmt.Errorf("remember: %w", err)
	}
	c.result(res)
	r.log().Info("wrote", "run", c.run, "op", a.Kind, "side", a.SideName, "record", cmpOr(a.Label, a.Key), "outcome", res.Outcome)
	return true, nil
}

// carried remembers that the comment of an intent has a copy.
func (r *Run) carried(in Intent, id string) Fold {
	_, text := in.entry()
	return Fold{Intent: in.ID, Threads: []Thread{{Link: in.Link, Side: in.Side.Other(), ID: in.Marker, Copy: id, Hash: textHash(text), At: in.At, Run: in.Run}}}
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
	reader, ok := r.job.Ends[in.Side].Handle.(connectors.CommentReader)
	if !ok {
		return nil, &connectors.Error{Kind: connectors.ErrDenied, Op: "read " + path, Detail: "comments cannot be read through this connector"}
	}
	known, err := r.known(ctx, in.Link)
	if err != nil {
		return nil, err
	}
	const slack = time.Minute // of clocks that were not measured
	since := r.theirs(in.Side, in.At).Add(-slack)
	var found *connectors.Comment
	err = reader.Comments(ctx, path, []string{in.Key}, since, func(_ string, c connectors.Comment) error {
		late := c.Time.IsZero() || !c.Time.Before(since)
		first := found == nil || cmp.Or(c.Time.Compare(found.Time), cmp.Compare(c.ID, found.ID)) < 0
		if late && first && c.ID != "" && !known.ids[in.Side][c.ID] && plainText(c.Text) == plainText(text) {
			found = &c
		}
		return nil
	})
	return found, err
}

// recoverComment looks what became of a comment in flight, or says until when to wait for it. Where comments cannot
// be read now, its link stays mute: better late than twice.
func (r *Run) recoverComment(ctx context.Context, in Intent) (until time.Time, err error) {
	found, err := r.said(ctx, in)
	switch {
	case errors.Is(err, connectors.ErrAuth), errors.Is(err, connectors.ErrOffline):
		return until, err
	case err != nil:
		if _, ok := errors.AsType[*connectors.Error](err); !ok {
			return until, err
		}
		r.mute[in.Link] = true
		r.log().Warn("cannot tell whether a comment was added; no more are carried for its records", "side", r.name(in.Side), "record", in.Key, "err", err, "hint", connectors.Hint(err))
		return until, nil
	case found != nil:
		r.log().Info("settled a write left in flight", "op", in.Kind, "side", r.name(in.Side), "record", in.Key, "done", true)
		return until, r.book.Fold(ctx, []Fold{r.carried(in, found.ID)})
	}
	if s, ok := r.job.Ends[in.Side].Handle.(connectors.Settler); ok {
		if until := in.At.Add(s.Settles()); until.After(r.now()) {
			return until, nil
		}
	}
	r.log().Info("settled a write left in flight", "op", in.Kind, "side", r.name(in.Side), "record", in.Key, "done", false)
	return until, r.book.Fold(ctx, []Fold{{Intent: in.ID}})
}

// heard stores how far comments were listened to, where everything new was settled.
func (r *Run) heard(ctx context.Context) error {
	for _, s := range record.Sides {
		if e := &r.ears[s]; e.listen && !e.deaf {
			if err := r.book.Hear(ctx, s, e.heard); err != nil {
				return fmt.Errorf("remember how far comments of %s were listened to: %w", r.name(s), err)
			}
		}
	}
	return nil
}

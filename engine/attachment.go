package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// attachments carries new files of one link to one side, one after the other. None waits for another.
func (c *carrier) attachments(ctx context.Context, units []unit) error {
	for _, u := range units {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if a := u.Item.Action; !c.allowed(*a) {
			c.deafen(a)
			continue
		}
		// From here on the file is carried through: stopping waits for its end.
		if err := c.attachment(context.WithoutCancel(ctx), u); err != nil {
			return err
		}
	}
	return nil
}

// attachment carries one file: its content to disk, what of it is there already, the intent, the upload.
func (c *carrier) attachment(ctx context.Context, u unit) error {
	r, a, f := c.r, *u.Item.Action, u.Item.Action.File
	from := a.Side.Other()
	at := spot{plan.Attachment, from, a.Link, f.ID}
	res := plan.Result{Action: a, Outcome: plan.Done, Key: a.Key, Label: a.Label}
	fail := func(intent int64, err error) error { return c.fails(ctx, at, u, res, intent, err) }

	source := connectors.Attachment{ID: f.ID, Name: f.Name, Type: f.Type, Size: f.Size, Hash: f.Hash}
	rule := r.rules.Attachments
	body, err := r.fetch(ctx, shelf{a.Link, from, rule.Paths[from], a.From.Key}, source, rule.MaxSize)
	switch {
	case errors.Is(err, errTooLarge): // its system said another size, or none
		no := tooLong(rule.MaxSize)
		row := File{Link: a.Link, Side: from, ID: f.ID, Size: -1, Refused: no.why, At: r.started, Run: c.run}
		if err := r.book.Fold(ctx, []Fold{{Files: []File{row}, Beside: r.cleared(at)}}); err != nil {
			return fmt.Errorf("remember: %w", err)
		}
		res.Outcome, res.Why, res.Hint = plan.Skipped, no.why, no.hint
		c.result(res)
		return nil
	case err != nil:
		return fail(0, err)
	}
	defer body.Close()
	in := Intent{Link: a.Link, Kind: plan.Attachment, Side: a.Side, Key: a.Key, Twin: a.From.Key, Marker: f.ID, At: r.now(), Run: c.run,
		New: record.Fields{"path": record.OfText(f.Path), "name": record.OfText(f.Name), "type": record.OfText(f.Type), "hash": record.OfText(body.hash), "size": record.OfInt(body.size)}}
	w, ok := connectors.As[connectors.Attacher](r.job.Ends[a.Side].Handle)
	if !ok {
		return fail(0, &connectors.Error{Kind: connectors.ErrRefused, Op: "attach to " + a.Collection, Detail: "no files can be added through this connector"})
	}
	// Somebody may have put it there since the plan was made.
	copied, err := r.filed(ctx, in)
	switch {
	case err != nil:
		return fail(0, err)
	case copied != "":
		res.Why = "a file with this content is there already"
	default:
		if err := c.announce(ctx, &in); err != nil {
			return err
		}
		source.Size, source.Hash = body.size, body.hash
		stored, err := w.Attach(ctx, f.Path, a.Key, source, body.File)
		copied = stored.ID
		if err != nil && unknownOutcome(err) {
			found, ferr := r.filed(ctx, in)
			if ferr != nil || found == "" {
				return fail(-in.ID, err)
			}
			copied, err, res.Why = found, nil, "the answer was lost, the file was found there"
		}
		if err != nil {
			return fail(in.ID, err)
		}
		if stored.Hash != "" && stored.Hash != body.hash {
			res.Outcome, res.Why = plan.Partly, "its system stored another content than was sent"
		}
	}
	if err := r.book.Fold(ctx, []Fold{r.attached(in, copied, u.Files)}); err != nil {
		return fmt.Errorf("remember: %w", err)
	}
	c.result(res)
	r.log().Info("wrote", "run", c.run, "link", a.Link, "op", a.Kind, "side", a.SideName, "record", cmpOr(a.Label, a.Key), "file", f.Name, "bytes", body.size, "outcome", res.Outcome)
	return nil
}

// fails remembers that a comment or a file could not be carried, and when to try again. A negative intent stays open:
// nobody knows whether it was. What no other write could get through either stops the run.
func (c *carrier) fails(ctx context.Context, at spot, u unit, res plan.Result, intent int64, err error) error {
	r, a := c.r, u.Item.Action
	if errors.Is(err, connectors.ErrAuth) || errors.Is(err, connectors.ErrOffline) {
		if intent > 0 {
			err = errors.Join(err, r.book.Fold(ctx, []Fold{{Intent: intent}}))
		}
		return fmt.Errorf("%s: %w", a.SideName, err)
	}
	res.Outcome, res.Why, res.Hint = plan.Failed, err.Error(), connectors.Hint(err)
	if intent < 0 {
		res.Hint = fmt.Sprintf("nobody knows whether this %s was added: the next run looks before it does anything else", a.Kind)
	}
	l := record.Link{ID: a.Link, Key: u.Keys}
	l.Label[a.Side], l.Label[a.Side.Other()] = a.Label, a.From.Label
	if a.File != nil {
		err = fmt.Errorf("%s: %w", a.File.Name, err)
	}
	if ferr := r.book.Fold(ctx, []Fold{{Intent: max(intent, 0), Beside: []Beside{r.besideHold(at, l, r.ruleOf(a.Kind), err)}}}); ferr != nil {
		return errors.Join(err, fmt.Errorf("remember: %w", ferr))
	}
	c.result(res)
	return nil
}

func (r *Run) ruleOf(kind plan.Kind) string {
	if kind == plan.Attachment {
		return r.rules.Attachments.At
	}
	return r.rules.Comments.At
}

// cleared lets go of what waited at a spot, if anything did.
func (r *Run) cleared(at spot) []Beside {
	if _, waited := r.beside.waits[at]; !waited {
		return nil
	}
	return []Beside{at.clear()}
}

// attached remembers that the file of an intent, and others with the same content, have a copy.
func (r *Run) attached(in Intent, copied string, equals []File) Fold {
	from := in.Side.Other()
	size := in.New["size"].Int()
	f := Fold{Intent: in.ID, Beside: r.cleared(spot{plan.Attachment, from, in.Link, in.Marker}),
		Files: []File{{Link: in.Link, Side: from, ID: in.Marker, Hash: in.New["hash"].Text(), Size: size, Copy: copied, At: in.At, Run: in.Run}}}
	for _, e := range equals {
		e.Hash, e.Copy, e.Run = in.New["hash"].Text(), copied, in.Run
		f.Files = append(f.Files, e)
		f.Beside = append(f.Beside, r.cleared(spot{plan.Attachment, from, in.Link, e.ID})...)
	}
	return f
}

// filed looks for a file with the content of an intent on the side that it is for, and returns its ID; "" when there is none.
// Name and size say which ones to read first where the system tells no hash.
func (r *Run) filed(ctx context.Context, in Intent) (string, error) {
	reader, err := r.reader(in.Side)
	if err != nil {
		return "", err
	}
	at := shelf{in.Link, in.Side, in.New["path"].Text(), in.Key}
	hash, name, size := in.New["hash"].Text(), in.New["name"].Text(), in.New["size"].Int()
	var there []connectors.Attachment
	err = reader.Attachments(ctx, at.path, []string{in.Key}, time.Time{}, func(_ string, a connectors.Attachment) error {
		if a.ID != "" && (a.Hash == hash || a.Hash == "" && (a.Size < 0 || a.Size == size)) {
			there = append(there, a)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	distance := func(a connectors.Attachment) int {
		switch {
		case a.Hash != "":
			return 0
		case a.Name == name:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(there, func(a, b connectors.Attachment) int {
		return cmp.Or(cmp.Compare(distance(a), distance(b)), a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	for _, a := range there {
		theirs, err := r.hashOf(ctx, at, a, size)
		switch {
		case errors.Is(err, errTooLarge), errors.Is(err, connectors.ErrNotFound):
		case err != nil:
			return "", err
		case theirs == hash:
			return a.ID, nil
		}
	}
	return "", nil
}

// recoverEntry looks what became of a comment or a file in flight, or says until when to wait for it. Where that cannot be
// found out now, its link stays mute: better late than twice.
func (r *Run) recoverEntry(ctx context.Context, in Intent) (until time.Time, err error) {
	var found *Fold
	if in.Kind == plan.Comment {
		var c *connectors.Comment
		if c, err = r.said(ctx, in); c != nil {
			f := r.carried(in, c.ID)
			found = &f
		}
	} else {
		var id string
		if id, err = r.filed(ctx, in); id != "" {
			f := r.attached(in, id, nil)
			found = &f
		}
	}
	switch {
	case errors.Is(err, connectors.ErrAuth), errors.Is(err, connectors.ErrOffline):
		return until, err
	case err != nil:
		if _, ok := errors.AsType[*connectors.Error](err); !ok {
			return until, err
		}
		r.beside.mute[spot{kind: in.Kind, link: in.Link}] = fmt.Errorf("nobody can tell whether the last %s was added: %w", in.Kind, err)
		r.log().Warn("cannot tell whether something was added; no more is carried for its record", "op", in.Kind, "side", r.name(in.Side), "record", in.Key, "err", err, "hint", connectors.Hint(err))
		return until, nil
	case found != nil:
		r.log().Info("settled a write left in flight", "op", in.Kind, "side", r.name(in.Side), "record", in.Key, "done", true)
		return until, r.book.Fold(ctx, []Fold{*found})
	}
	if until, err := r.settles(ctx, in); err != nil || until.After(r.now()) {
		return until, err
	}
	r.log().Info("settled a write left in flight", "op", in.Kind, "side", r.name(in.Side), "record", in.Key, "done", false)
	return until, r.book.Fold(ctx, []Fold{{Intent: in.ID}})
}

package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// hearFiles listens to the attachments of one side.
func hearFiles(p *hearing) error {
	reader, err := p.r.reader(p.side)
	if err != nil {
		return err
	}
	return listenTo(p, reader.Attachments, func(a connectors.Attachment) time.Time { return a.Time }, p.files)
}

// A bundle is the files of one link that may have to be carried.
type bundle struct {
	link  record.Link
	known []File
	files []connectors.Attachment
}

// files spools what is new among the files of some records. What the other side has is asked for at once, and only for
// those that have something new.
func (p *hearing) files(found map[string][]connectors.Attachment) error {
	r, o := p.r, p.side.Other()
	var bundles []*bundle
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(found)) {
		b, err := p.candidates(key, found[key])
		if err != nil {
			return err
		}
		if b != nil {
			bundles, keys = append(bundles, b), append(keys, b.link.Key[o])
		}
	}
	if len(bundles) == 0 {
		return nil
	}
	reader, err := r.reader(o)
	if err != nil {
		return err
	}
	there := map[string][]connectors.Attachment{}
	err = reader.Attachments(p.ctx, r.rules.Attachments.Paths[o], keys, time.Time{}, func(key string, a connectors.Attachment) error {
		there[key] = append(there[key], a)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look what %s has: %w", r.name(o), err)
	}
	for _, b := range bundles {
		if err := p.propose(b, there[b.link.Key[o]]); err != nil {
			return err
		}
	}
	return nil
}

// candidates are the files of a record that nobody has settled and the rules let through; nil when there are none.
func (p *hearing) candidates(key string, as []connectors.Attachment) (*bundle, error) {
	r, s, rule := p.r, p.side, p.r.rules.Attachments
	l, err := p.pair(key)
	if err != nil || l == nil || r.beside.said[spot{p.kind, s, l.ID, ""}] {
		return nil, err
	}
	b := &bundle{link: *l}
	settled, refused := map[string]bool{}, map[string]string{}
	err = r.book.Files(p.ctx, l.ID, func(f File) error {
		b.known = append(b.known, f)
		switch {
		case f.Side != s:
			settled[f.Copy] = true
		case f.Refused != "":
			refused[f.ID] = f.Refused
		default:
			settled[f.ID] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	old, err := p.old(l, rule.History, len(b.known) > 0)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(as, func(x, y connectors.Attachment) int { return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.ID, y.ID)) })
	var rows []File
	for _, a := range as {
		if a.ID == "" || settled[a.ID] {
			continue
		}
		settled[a.ID] = true
		no := r.refuses(a)
		switch {
		case refused[a.ID] == "" && old(a.Time):
			rows = append(rows, File{Link: l.ID, Side: s, ID: a.ID, Size: a.Size, At: r.started})
		case no.why == "" && refused[a.ID] != tooLong(rule.MaxSize).why && !r.beside.said[spot{p.kind, s, l.ID, a.ID}]:
			b.files = append(b.files, a)
		case no.why != "" && refused[a.ID] != no.why:
			row, err := p.refuse(l, a, no)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	u := unit{Link: l.ID, Keys: l.Key, Files: rows}
	if p.again[l.ID] {
		u.Beside = p.vanished(l.ID, b.files)
	}
	if len(u.Files)+len(u.Beside) > 0 {
		if err := r.settleBeside(p.ctx, u); err != nil {
			return nil, err
		}
	}
	if len(b.files) == 0 {
		return nil, nil
	}
	return b, nil
}

// vanished lets go of what waited for files that are no longer to be carried.
func (p *hearing) vanished(link int64, files []connectors.Attachment) []Beside {
	var gone []Beside
	for _, at := range slices.SortedFunc(maps.Keys(p.r.beside.waits), compareSpots) {
		still := slices.ContainsFunc(files, func(a connectors.Attachment) bool { return a.ID == at.entry })
		if at.kind == p.kind && at.side == p.side && at.link == link && !still && !p.r.beside.said[at] {
			gone = append(gone, at.clear())
		}
	}
	return gone
}

// A refusal says why the rules do not let a file through, and the way out.
type refusal struct{ why, hint string }

const raiseSize = "if it is to be carried, raise max_size of the attachments block"

func (r *Run) refuses(a connectors.Attachment) refusal {
	rule := r.rules.Attachments
	switch {
	case a.Size > rule.MaxSize:
		return refusal{fmt.Sprintf("it has %s, and max_size is %s", plan.Bytes(a.Size), plan.Bytes(rule.MaxSize)), raiseSize}
	case !rule.Allows(a.Type):
		return refusal{fmt.Sprintf("files of the type %q are not carried", a.Type), "if they are to be, add the type to types of the attachments block"}
	}
	return refusal{}
}

// tooLong is of a file that has more bytes than its system says.
func tooLong(most int64) refusal {
	return refusal{"it turned out to have more than " + plan.Bytes(most).String() + ", which is max_size", raiseSize}
}

// refuse says that a file is not carried, once: nothing waits for it, and editing the rule is what looks at it again.
func (p *hearing) refuse(l *record.Link, a connectors.Attachment, no refusal) (File, error) {
	r := p.r
	h := plan.Hold{Sync: r.rules.Sync, Link: l.ID, Keys: l.Key, Labels: l.Label, Field: "attachments", At: p.rule, Cause: a.Name + ": " + no.why, Hint: no.hint, Since: r.started}
	return File{Link: l.ID, Side: p.side, ID: a.ID, Size: a.Size, Refused: no.why, At: r.started}, r.spoolItem(p.ctx, unit{Link: l.ID, Keys: l.Key}, plan.Item{Hold: &h})
}

// A peer is a file that a new one may be equal to.
type peer struct {
	side record.Side
	file connectors.Attachment
	copy string // ID of the file with this content on the other side; "": it is about to be carried there
	at   int    // among the actions
}

// propose spools the files of one link whose content the other side does not have, each content once.
func (p *hearing) propose(b *bundle, there []connectors.Attachment) error {
	r, s, o, l := p.r, p.side, p.side.Other(), &b.link
	var peers []peer
	for _, f := range b.known {
		switch {
		case f.Hash == "" || f.Copy == "":
		case f.Side == s:
			peers = append(peers, peer{side: s, file: connectors.Attachment{ID: f.ID, Size: f.Size, Hash: f.Hash}, copy: f.Copy})
		default:
			peers = append(peers, peer{side: o, file: connectors.Attachment{ID: f.ID, Size: f.Size, Hash: f.Hash}, copy: f.ID})
		}
	}
	for _, a := range there {
		peers = append(peers, peer{side: o, file: a, copy: a.ID})
	}
	var acts []unit
	var settled []File
	var cleared []Beside
	for _, a := range b.files {
		at := spot{p.kind, s, l.ID, a.ID}
		twin, hash, err := p.twin(l, a, peers)
		switch {
		case errors.Is(err, errTooLarge):
			var row File
			row, err = p.refuse(l, a, tooLong(r.rules.Attachments.MaxSize))
			settled, cleared = append(settled, row), append(cleared, r.cleared(at)...)
		case err != nil:
			if ce, ok := errors.AsType[*connectors.Error](err); !ok || errors.Is(ce, connectors.ErrAuth) || errors.Is(ce, connectors.ErrOffline) {
				return err
			}
			err = p.hold(*l, a.ID, fmt.Errorf("%s: %w", a.Name, err))
		case twin != nil && twin.copy != "":
			settled = append(settled, File{Link: l.ID, Side: s, ID: a.ID, Hash: hash, Size: a.Size, Copy: twin.copy, At: r.started})
			cleared = append(cleared, r.cleared(at)...)
		case twin != nil:
			u := &acts[twin.at]
			u.Files = append(u.Files, File{Link: l.ID, Side: s, ID: a.ID, Hash: hash, Size: a.Size, At: r.started})
		default:
			act := p.action(l)
			act.File = &plan.File{Path: r.rules.Attachments.Paths[o], ID: a.ID, Name: a.Name, Type: a.Type, Size: a.Size, Hash: a.Hash, Author: a.Author, Time: a.Time.UTC()}
			peers = append(peers, peer{side: s, file: a, at: len(acts)})
			acts = append(acts, unit{Link: l.ID, Keys: l.Key, Lead: true, Item: &plan.Item{Action: &act}})
		}
		if err != nil {
			return err
		}
	}
	for _, u := range acts {
		if err := r.spoolItem(p.ctx, u, *u.Item); err != nil {
			return err
		}
	}
	if len(settled) == 0 {
		return nil
	}
	return r.settleBeside(p.ctx, unit{Link: l.ID, Keys: l.Key, Files: settled, Beside: cleared})
}

// twin finds the file that has the same content as a. Contents are read only where two files have the same size, as
// far as that is known, and a system does not tell a hash.
func (p *hearing) twin(l *record.Link, a connectors.Attachment, peers []peer) (*peer, string, error) {
	hash, most := a.Hash, p.r.rules.Attachments.MaxSize
	for i := range peers {
		q := &peers[i]
		if a.Size >= 0 && q.file.Size >= 0 && a.Size != q.file.Size {
			continue
		}
		var err error
		if hash == "" {
			if hash, err = p.r.hashOf(p.ctx, p.r.shelf(l, p.side), a, most); err != nil {
				return nil, "", err
			}
		}
		theirs, err := p.r.hashOf(p.ctx, p.r.shelf(l, q.side), q.file, most)
		switch {
		case errors.Is(err, errTooLarge), errors.Is(err, connectors.ErrNotFound): // it is another one, or gone
		case err != nil:
			return nil, "", err
		case theirs == hash:
			return q, hash, nil
		}
	}
	return nil, hash, nil
}

func compareSpots(a, b spot) int {
	return cmp.Or(cmp.Compare(a.link, b.link), cmp.Compare(a.entry, b.entry))
}

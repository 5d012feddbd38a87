package engine_test

// The properties, and where each is asserted; the name before the colon of a message is the property.
//
//	quiet            heal: after some runs nothing is left to do, and it stays so
//	agreed           checkEnd, checkLinks: every field of every link holds, or waits with a cause; records have twins or wait
//	nothing lost     nothingLost (live, or in history), beforeDelete; "no lost race" where nobody else wrote that field
//	no duplicate     beforeCreate: one record per marker at all times; checkEnd: exactly one in the end; sawPairing: "no guess"
//	nothing invented checkAlways: every part of every text was written by a person, or follows from one that was
//	no resurrection  beforeCreate: nothing that a person deleted is made again, unless the policy says so
//	safe deletes     beforeDelete: never after a scan that was not whole, without a policy, or beside a twin that is there
//	crash-equal      TestCrashesChangeNothing
//	order-free       TestTheSidesAreEqual, beside the laws of package reconcile
//	plan-faithful    announced, beforeDelete, AddComment: nothing is written that was not planned; once: skips have reasons
//	explained        explain: the inputs of an explanation give its decision, and the plan of the moment is that
//	dry              preview: no byte of the state, no write to a system
//	isolated         TestAPoisonousRecordChangesNoOther
//
// Beside those: comments are carried once, in order, never back, and internal ones never under a public thread
// (checkTalk, checkCarried), files too (checkFiles, checkFiled); unknown is not empty (announced); who lost its lease writes no more (own, thawed); a rule
// writes only when it may (checkStrength); nothing stays in flight (checkEnd: "settled"); who is asked to wait does
// (patient).

import (
	"context"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// heard notes that a text may stand on a side, and what follows from it by the rules and the systems' habits.
func (w *history) heard(s record.Side, p pairing, v record.Value) {
	words := w.words[s][p.Name]
	if words == nil || v.Kind() != record.Text {
		return
	}
	for _, part := range p.parts(v) {
		if part := record.OfText(part); !words[part] {
			words[part] = true
			w.heard(s.Other(), p, p.implied(s.Other(), part))
		}
	}
}

// twin is the record on the other side that is known as the same thing: by its link, else by its marker.
func (w *history) twin(s record.Side, key string) string {
	if b, err := w.book(w.job(false)); err == nil {
		if l, err := b.Link(context.Background(), w.side(s), key); err == nil && l != nil {
			return l.Key[w.side(s.Other())]
		}
	}
	o := w.systems[s.Other()]
	for _, k := range o.m.Keys() {
		f := o.m.Get(k)
		if s == record.Left && f["marker"].Text() == key || s == record.Right && f["origin"].Text() == key {
			return k
		}
	}
	mine := w.systems[s].m.Get(key)
	if s == record.Right {
		return mine["marker"].Text()
	}
	return mine["origin"].Text()
}

// supersede: what stood here is overwritten by somebody who saw it.
func (w *history) supersede(s *system, key string, p pairing, stood record.Value) {
	twin := w.twin(s.phys, key)
	for _, e := range w.said {
		switch {
		case e.field.Name != p.Name:
		case e.side == s.phys && e.key == key && e.value == stood:
			e.gone = true
		case e.side != s.phys && e.key == twin && (p.implied(s.phys, e.value) == stood || p.implied(e.side, stood) == e.value):
			e.gone = true
		}
	}
}

// edited is a person's edit.
func (w *history) edited(s *system, key string, f record.Fields) {
	if w.unanswered(s, key, f) {
		return
	}
	for path, v := range f { // to write what is there already is not an edit
		if rec := s.m.Get(key); rec == nil || rec[path] == normalise(s.phys, path, v) {
			delete(f, path)
		}
	}
	w.overwritten(s, key, f)
	w.remember(s, key, f)
}

// unanswered: nobody fills in what a create did not send before its process was able to look at it. What a system puts
// there itself is accepted, and the two cannot be told apart.
func (w *history) unanswered(s *system, key string, f record.Fields) bool {
	b, err := w.book(w.job(false))
	if err != nil {
		return false
	}
	ins, err := b.Intents(context.Background())
	if err != nil {
		return false
	}
	rec := s.m.Get(key)
	for _, in := range ins {
		if in.Kind != plan.Create || w.side(in.Side) != s.phys || rec[in.Marker] != in.New[in.Marker] {
			continue
		}
		for path := range f {
			if _, sent := in.New[path]; !sent {
				return true
			}
		}
	}
	return false
}

// overwritten is an edit, by a person or by a rule of the system itself.
func (w *history) overwritten(s *system, key string, f record.Fields) {
	before := s.m.Get(key)
	if before == nil {
		return
	}
	for path := range f {
		if p, ok := pairingOf(s.phys, path); ok {
			w.supersede(s, key, p, before[path])
		}
	}
	w.busy = true
	w.touch(s, key, f)
	s.m.Edit(key, f)
}

// touch notes that somebody wrote these fields, and when.
func (w *history) touch(s *system, key string, f record.Fields) {
	for path := range f {
		if p, ok := pairingOf(s.phys, path); ok {
			w.touched[fmt.Sprint(s.phys, key, p.Name)] = w.epoch
		}
	}
}

// tampered is an edit of which neither stamp nor version tells. Even a conditional write may overwrite it unseen, so
// it is not promised to be kept; it must not stay unseen either.
func (w *history) tampered(s *system, key string, p pairing, v record.Value) {
	path := p.Paths[s.phys]
	before := s.m.Get(key)
	if w.unanswered(s, key, record.Fields{path: v}) || before[path] == normalise(s.phys, path, v) {
		return
	}
	w.busy = true
	w.supersede(s, key, p, before[path])
	w.touch(s, key, record.Fields{path: v})
	s.m.Tamper(key, record.Fields{path: v})
	w.heard(s.phys, p, s.m.Get(key)[path])
}

// succeed: what was written to one record counts for the one that was made in its place.
func (w *history) succeed(s record.Side, key, next string) {
	for _, p := range pairings {
		if epoch, ok := w.touched[fmt.Sprint(s, key, p.Name)]; ok {
			w.touched[fmt.Sprint(s, next, p.Name)] = epoch
		}
	}
}

func (w *history) created(s *system, key string, f record.Fields) {
	w.busy = true
	w.touch(s, key, f)
	w.remember(s, key, f)
}

func (w *history) remember(s *system, key string, f record.Fields) {
	now := s.m.Get(key)
	if now == nil {
		return
	}
	for path := range f {
		p, ok := pairingOf(s.phys, path)
		if !ok || now[path].Empty() {
			continue
		}
		w.heard(s.phys, p, now[path])
		w.said = append(w.said, &saying{side: s.phys, key: key, field: p, value: now[path], epoch: w.epoch})
	}
}

// busyWith notes that a system asked to wait before a record is written again.
func (w *history) busyWith(s *system, key string, wait time.Duration) {
	if wait > 0 && key != "" {
		w.patience[s.name+" "+key] = w.now.Add(wait)
	}
}

// patient holds a write against: a system that asked to wait is not asked again for that record before its time,
// unless somebody did something to it meanwhile.
func (w *history) patient(s *system, key string) {
	if until := w.patience[s.name+" "+key]; key != "" && w.now.Before(until) {
		w.problem("patient: %s %s is written %s before the time that the system asked to wait", s.name, key, until.Sub(w.now))
	}
}

func (w *history) deleted(s *system, key string) {
	f := s.m.Get(key)
	if f == nil {
		return
	}
	for _, p := range pairings {
		w.supersede(s, key, p, f[p.Paths[s.phys]])
	}
	w.graves[s.phys][key] = f
	s.m.Remove(key)
}

// beforeCreate holds a create against: no duplicate, no resurrection.
func (w *history) beforeCreate(s *system, f record.Fields) {
	path := []string{"origin", "marker"}[s.phys]
	marker := f[path]
	if marker.Empty() || !marker.Known() {
		w.problem("no duplicate: %s created without a marker", s.name)
		return
	}
	for _, k := range s.m.Keys() {
		if s.m.Get(k)[path] == marker {
			w.problem("no duplicate: a second %s with marker %s, beside %s", s.name, marker, k)
		}
	}
	if w.systems[s.phys.Other()].m.Get(marker.Text()) == nil {
		return // deleted a moment ago: the run has not seen it yet
	}
	if w.cfg.Gone[s.phys] == reconcile.GoneRecreate {
		return
	}
	for key, g := range w.graves[s.phys] {
		if g[path] == marker && w.wasLinked(s.phys, key, marker.Text()) {
			w.problem("no resurrection: %s %s was deleted by a person and is made again", s.name, key)
		}
	}
}

func (w *history) wasLinked(s record.Side, key, twin string) bool {
	var p [2]string
	p[s], p[s.Other()] = key, twin
	w.pairing.Lock()
	defer w.pairing.Unlock()
	return w.linked[p]
}

// sawPairing holds a new link against: two candidates are never a guess.
func (w *history) sawPairing(keys [2]string) {
	if w.flip {
		keys[0], keys[1] = keys[1], keys[0]
	}
	w.pairing.Lock()
	w.linked[keys] = true
	w.pairing.Unlock()
	n := 0
	for _, k := range w.systems[1].m.Keys() {
		if w.systems[1].m.Get(k)["marker"].Text() == keys[0] {
			n++
		}
	}
	if n > 1 {
		w.problem("no guess: ticket %s was linked to incident %s although %d incidents carry its marker", keys[0], keys[1], n)
	}
}

// beforeDelete holds a delete against: safe deletes.
func (w *history) beforeDelete(s *system, key string) error {
	if w.cutScan {
		w.problem("safe deletes: %s %s is deleted after a scan that was not whole", s.name, key)
	}
	if w.planned != nil && !w.planned["delete "+s.name+" "+key] {
		w.problem("plan-faithful: the delete of %s %s was not planned", s.name, key)
	}
	o := s.phys.Other()
	twin := w.twin(s.phys, key)
	if twin != "" && w.systems[o].m.Get(twin) != nil {
		w.problem("safe deletes: %s %s is deleted although its twin %s is there", s.name, key, twin)
	}
	if w.cfg.Gone[o] != reconcile.GoneDelete {
		w.problem("safe deletes: %s %s is deleted although no policy says so", s.name, key)
	}
	for _, e := range w.said {
		if e.side != s.phys || e.key != key || e.gone || s.m.Get(key)[e.field.Paths[s.phys]] != e.value {
			continue
		}
		switch {
		case w.reached(e):
			e.gone = true // both agreed on it, and it stays with the link that ends
		case s.conditional:
			w.problem("nothing lost: %s %s is deleted with %s, which never reached the other side", s.name, key, e.value)
		}
	}
	return nil
}

// reached reports whether a saying is in the base of its link.
func (w *history) reached(e *saying) bool {
	b, err := w.book(w.job(false))
	if err != nil {
		return false
	}
	l, err := b.Link(context.Background(), w.side(e.side), e.key)
	if err != nil || l == nil {
		return false
	}
	base, slot := l.Base[w.side(e.side)], slotOf(e.side, e.field.Paths[e.side])
	return slot < len(base) && base[slot] == e.value
}

// announced holds the fields of a write, as the engine sent them, against the plan.
func (w *history) announced(s *system, key string, f record.Fields) {
	if w.planned == nil {
		return
	}
	for path, v := range f {
		if p, ok := pairingOf(s.phys, path); ok && w.systems[s.phys.Other()].hidden[p.Paths[s.phys.Other()]] {
			w.problem("unknown is not empty: %s.%s=%s of %q was written although its twin cannot be read", s.name, path, v, key)
		}
		if !w.planned[writeKey(s.name, key, path, v)] && !w.planned[writeKey(s.name, key, path, record.Value{})] {
			w.problem("plan-faithful: %s.%s=%s of %q was written and not planned", s.name, path, v, key)
		}
	}
}

// checkStrength holds the fields of an update that was carried out against rules that write on create only, or where
// there is nothing.
func (w *history) checkStrength(s *system, key string, before, f record.Fields) {
	if v, wrote := f["opened"]; wrote {
		w.problem("strength: %s.opened=%s of %s was written by an update", s.name, v, key)
	}
	if v, wrote := f["contact"]; wrote && s.conditional && !before["contact"].Empty() {
		w.problem("strength: %s.contact=%s of %s was written over %s", s.name, v, key, before["contact"])
	}
}

// checkAlways is what must be so after every run.
func (w *history) checkAlways() {
	w.checkTalk()
	w.checkFiles()
	for _, s := range w.systems {
		for _, key := range s.m.Keys() {
			f := s.m.Get(key)
			for _, p := range pairings {
				v, words := f[p.Paths[s.phys]], w.words[s.phys][p.Name]
				if words == nil || !v.Known() || v.Empty() {
					continue
				}
				for _, part := range p.parts(v) {
					if !words[record.OfText(part)] {
						w.problem("nothing invented: %s %s has %s %s, of which nobody wrote %q", s.name, key, p.Paths[s.phys], v, part)
					}
				}
			}
			p := pairings[1]
			if v := f[p.Paths[s.phys]]; v.Known() && !v.Empty() && p.To[s.phys.Other()](v).Empty() {
				w.problem("nothing invented: %s %s has %s %s", s.name, key, p.Paths[s.phys], v)
			}
		}
	}
}

// heal ends every trouble and runs until nothing is left to do.
func (w *history) heal() {
	for _, s := range w.systems {
		clear(s.hidden)
		s.gagged = false
	}
	w.poisoned = w.cfg.Poison
	if w.cfg.Incremental && !w.held {
		// Scans for changes alone must be enough for all that moved a stamp.
		for range 3 {
			w.wait(7 * time.Hour)
			if _, err := w.run(trouble{}); err != nil {
				w.problem("healing: a run without troubles ended with: %v", err)
				return
			}
		}
		_, waits := w.checkLinks("with scans for changes")
		w.checkCarried(waits, "with scans for changes")
		w.checkFiled("with scans for changes")
	}
	const bound = 8
	quiet := false
	for n := 0; n < bound && !quiet; n++ {
		w.wait(7 * time.Hour) // beyond every hold's delay
		acc, err := w.run(trouble{Full: true})
		if err != nil {
			w.problem("healing: a run without troubles ended with: %v", err)
			return
		}
		quiet = acc.Done == 0 && acc.Skipped == 0 && w.preview() == 0
	}
	if !quiet {
		w.problem("quiet: after %d runs without foreign edits there is still something to do: %v", bound, w.todo())
		return
	}
	w.wait(time.Minute)
	if n := w.preview(); n != 0 && !w.poisoned {
		w.problem("quiet: it did not stay so: %v", w.todo())
	}
}

func (w *history) todo() (out []string) {
	e := w.process()
	r, err := e.Plan(context.Background(), w.job(false))
	if err != nil {
		return []string{err.Error()}
	}
	defer r.Close()
	for it, err := range r.Items() {
		if err != nil || it.Action == nil {
			continue
		}
		s := string(it.Action.Kind) + " " + it.Action.SideName + " " + it.Action.Key
		for _, c := range it.Action.Changes {
			s += fmt.Sprintf(" %s: %s→%s (%s)", c.Path, c.From, c.To, c.Why)
		}
		out = append(out, s)
	}
	return out
}

// checkEnd is what must be so when nothing is left to do.
func (w *history) checkEnd() {
	ctx := context.Background()
	j := w.job(false)
	b, err := w.book(j)
	if err != nil {
		w.problem("%v", err)
		return
	}
	ins, err := b.Intents(ctx)
	if err != nil || len(ins) > 0 {
		w.problem("settled: %d writes are still in flight, %v", len(ins), err)
	}
	known, waits := w.checkLinks("")
	for _, s := range record.Sides {
		if s == record.Right && !w.cfg.CreateLeft {
			continue
		}
		for _, key := range w.systems[s].m.Keys() {
			waiting := waits[key+"|"]
			if s == record.Right {
				waiting = waits["|"+key] || waits[w.systems[s].m.Get(key)["marker"].Text()+"|"] // its ticket says so
			}
			if w.cfg.Scoped && s == record.Left && !inQueue(w.systems[s].m.Get(key)["queue"]) {
				continue
			}
			dead, err := b.Tomb(ctx, w.side(s), key, w.now)
			if err != nil {
				w.problem("%v", err)
			}
			if !known[s][key] && !waiting && !dead && !w.twinOutside(s, key) {
				w.problem("agreed: %s %s has no twin, no tomb and does not wait", w.systems[s].name, key)
			}
		}
	}
	w.checkCarried(waits, "")
	w.checkFiled("")
	w.nothingLost()
}

// checkLinks holds every link against: agreed. It gives the keys of all links, and what waits.
func (w *history) checkLinks(when string) (known [2]map[string]bool, waits map[string]bool) {
	ctx := context.Background()
	known = [2]map[string]bool{{}, {}}
	b, err := w.book(w.job(false))
	if err != nil {
		w.problem("%v", err)
		return
	}
	waits = map[string]bool{}
	err = b.Waiting(ctx, 0, func(wa engine.Waiting) error {
		link, keys, field := int64(0), [2]string{}, ""
		if c := wa.Conflict; c != nil {
			link, keys, field = c.Link, c.Keys, c.Field
		} else {
			link, keys, field = wa.Hold.Link, wa.Hold.Keys, wa.Hold.Field
		}
		if field == "headline" {
			field = "summary"
		}
		if link != 0 {
			waits[fmt.Sprint(link, " ", field)] = true
			return nil
		}
		waits[keys[w.side(0)]+"|"], waits["|"+keys[w.side(1)]] = true, true
		return nil
	})
	if err != nil {
		w.problem("%v", err)
	}
	for _, status := range []record.Status{record.Live, record.Held, record.Detached} {
		err := b.Links(ctx, status, func(l record.Link) error {
			keys := [2]string{l.Key[w.side(0)], l.Key[w.side(1)]}
			known[0][keys[0]], known[1][keys[1]] = true, true
			if status != record.Detached {
				w.agreed(l.ID, keys, waits, when)
			}
			return nil
		})
		if err != nil {
			w.problem("%v", err)
		}
	}
	return known, waits
}

// twinOutside: an incident that belongs to a ticket out of scope is left alone.
func (w *history) twinOutside(s record.Side, key string) bool {
	if !w.cfg.Scoped || s != record.Right {
		return false
	}
	t := w.systems[0].m.Get(w.twin(s, key))
	return t != nil && !inQueue(t["queue"])
}

func (w *history) agreed(id int64, keys [2]string, waits map[string]bool, when string) {
	l, r := w.systems[0].m.Get(keys[0]), w.systems[1].m.Get(keys[1])
	if l == nil || r == nil || waits[fmt.Sprint(id, " ")] {
		return
	}
	check := func(name string, ok bool, lv, rv record.Value) {
		if !ok && !waits[fmt.Sprint(id, " ", name)] {
			w.problem("agreed: %s %s of %s and %s: %s and %s do not fit and do not wait", when, name, keys[0], keys[1], lv, rv)
		}
	}
	for _, p := range pairings {
		lv, rv := l[p.Paths[0]], r[p.Paths[1]]
		byDefault := p.Name == "note" && rv.Text() == "closed" && (lv.Empty() || w.cfg.Automation == 1) // what a system makes of a write is accepted
		check(p.Name, p.holds(lv, rv) || lv.Empty() && rv.Empty() || byDefault, lv, rv)
	}
	check("contact", !r["contact"].Empty() || l["prio"].Empty(), l["prio"], r["contact"])
	check("number", l["number"] == r["number"], l["number"], r["number"])
	if !w.cfg.KeepDrift {
		check("urgency", r["urgency"] == urgencyOf(l["prio"], w.edition), l["prio"], r["urgency"])
	}
	if l["status"].Text() == "done" {
		check("closing", r["close"].Text() == "solved", l["status"], r["close"])
	}
}

// nothingLost looks for everything that people said and nobody took back.
func (w *history) nothingLost() {
	kept, err := w.kept()
	if err != nil {
		w.problem("history: %v", err)
	}
	for _, e := range w.said {
		if e.gone {
			continue
		}
		path := e.field.Paths[e.side]
		if f := w.systems[e.side].m.Get(e.key); f != nil && f[path] == e.value {
			continue
		}
		o := e.side.Other()
		if f := w.systems[o].m.Get(w.twin(e.side, e.key)); f != nil && e.field.holdsFrom(e.side, e.value, f[e.field.Paths[o]]) {
			continue
		}
		if kept[writeKey(w.systems[e.side].name, e.key, path, e.value)] {
			twin := w.twin(e.side, e.key)
			both := w.systems[e.side].m.Get(e.key) != nil && w.systems[o].m.Get(twin) != nil
			rival, ok := w.touched[fmt.Sprint(o, twin, e.field.Name)]
			if both && !w.held && !w.cfg.Scoped && (!ok || rival < e.epoch) {
				w.problem("no lost race: %s %s.%s %s was overwritten although nobody else had written that field", w.systems[e.side].name, e.key, path, e.value)
			}
			continue
		}
		w.problem("nothing lost: %s %s.%s %s is nowhere: not live, not in history", w.systems[e.side].name, e.key, path, e.value)
	}
}

func (p pairing) holdsFrom(s record.Side, v, other record.Value) bool {
	if s == record.Left {
		return p.holds(v, other)
	}
	return p.holds(other, v)
}

// kept is what history holds, read from the file as a stranger would.
func (w *history) kept() (map[string]bool, error) {
	db, err := database(w.path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Query("SELECT side, key, path, value FROM history")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	kept := map[string]bool{}
	for rows.Next() {
		var side record.Side
		var key, path string
		var blob []byte
		if err := rows.Scan(&side, &key, &path, &blob); err != nil {
			return nil, err
		}
		vs, err := record.DecodeValues(blob)
		if err != nil {
			return nil, err
		}
		kept[writeKey(w.systems[w.side(side)].name, key, path, vs[0])] = true
	}
	return kept, rows.Err()
}

// A bug is planted to see that the properties catch it. The zero bug is none.
type bug struct {
	name     string
	book     func(*history, engine.Book) engine.Book
	system   func(*client) connectors.Collection
	rules    func(*reconcile.Rules)
	null     bool              // unknown is shown as null
	tune     func(story) story // to where the mistake can show
	blind    bool              // runs look at nothing that the scans do not show
	unfenced bool              // who lost its lease may write all the same
	first    bool              // only the first candidate of a match is seen
}

func (b bug) unknown() record.Value {
	if b.null {
		return record.NullValue
	}
	return record.UnknownValue
}

func (b bug) handle(s *client) connectors.Collection {
	if b.system != nil {
		return b.system(s)
	}
	if s.w.cfg.splits(s.phys) {
		return splitting{s}
	}
	return s
}

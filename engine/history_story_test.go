package engine_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A story is a random history, as data: it can be told, and lived again without its crashes, mirrored or with
// one record left out.
type story struct {
	Config config
	Steps  []step
}

// A step is something that people do, or a run with what happens to it.
type step struct {
	Do    string
	Side  record.Side
	Who   int // picks a record, modulo how many there are
	Field int // of pairings
	Style int // of the text
	Wait  int // seconds before it
	Late  int // seconds until it is committed, with the stamp of its begin
	Run   trouble
}

// A trouble is what happens to a run.
type trouble struct {
	Full   bool
	Die    *point
	Faults []fault
	// Freeze is the call at which the process stands still until another one has run.
	Freeze *point
	// Edit is what a person does while the run makes a certain call.
	Edit *step
	At   point
}

func (s story) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", s.Config)
	for i, st := range s.Steps {
		fmt.Fprintf(&b, "%3d %s\n", i+1, st)
	}
	return b.String()
}

func (st step) String() string {
	side := []string{"ticket", "incident"}[st.Side]
	s := ""
	switch st.Do {
	case "edit":
		s = fmt.Sprintf("a person gives %s %d a new %s (style %d)", side, st.Who, pairings[st.Field].Paths[st.Side], st.Style)
	case "tamper":
		s = fmt.Sprintf("a script gives %s %d a new %s and leaves its stamp as it was", side, st.Who, pairings[st.Field].Paths[st.Side])
	case "fight":
		s = fmt.Sprintf("two people give ticket %d and its incident a new %s each (style %d)", st.Who, pairings[st.Field].Name, st.Style)
	case "clear":
		s = fmt.Sprintf("a person clears the %s of %s %d", pairings[st.Field].Paths[st.Side], side, st.Who)
	case "create":
		s = fmt.Sprintf("a person makes a new %s (style %d)", side, st.Style)
	case "delete", "restore":
		s = fmt.Sprintf("a person %ss %s %d", st.Do, side, st.Who)
	case "tie":
		s = "a person makes an incident that carries the first ticket's key"
	case "copy":
		s = fmt.Sprintf("a person copies incident %d, its marker too", st.Who)
	case "prio":
		s = fmt.Sprintf("a person sets the prio of ticket %d to %d", st.Who, st.Style)
	case "drift":
		s = fmt.Sprintf("a person sets the urgency of incident %d by hand", st.Who)
	case "contact":
		s = fmt.Sprintf("a person %s the contact of incident %d", []string{"sets", "clears"}[st.Style%2], st.Who)
	case "move":
		s = fmt.Sprintf("a person moves ticket %d to the other queue", st.Who)
	case "rules":
		s = "somebody edits the rules"
	case "say":
		s = fmt.Sprintf("a person adds to the %s of %s %d", threadPaths[st.Side][st.Style%2], side, st.Who)
	case "attach":
		s = fmt.Sprintf("a person attaches a file to %s %d", side, st.Who)
	case "gag", "ungag":
		s = fmt.Sprintf("the comments of the %ss are made %s", side, map[string]string{"gag": "unreadable", "ungag": "readable"}[st.Do])
	case "hide", "show":
		s = fmt.Sprintf("the %s's %s is made %s", side, pairings[st.Field].Paths[st.Side], map[string]string{"hide": "unreadable", "show": "readable"}[st.Do])
	case "resolve":
		s = fmt.Sprintf("a person decides a conflict for the %s", side)
	case "preview":
		s = "a preview"
	case "explain":
		s = "a person asks why"
	case "run":
		s = "a run"
		if st.Run.Full {
			s = "a full run"
		}
		for _, f := range st.Run.Faults {
			s += fmt.Sprintf("; its %s #%d %s", f.Name, f.N, f.Kind)
		}
		if st.Run.Edit != nil {
			s += fmt.Sprintf("; %s, meanwhile: %s", st.Run.At, st.Run.Edit)
		}
		if st.Run.Freeze != nil {
			s += fmt.Sprintf("; the process stands still %s until its lease is over and another one has run", st.Run.Freeze)
		}
		if st.Run.Die != nil {
			s += "; the process dies " + st.Run.Die.String()
		}
	}
	if st.Late > 0 {
		s += fmt.Sprintf(", committed %d s after its stamp", st.Late)
	}
	if st.Wait > 0 {
		s += fmt.Sprintf(" (%d s later)", st.Wait)
	}
	return s
}

// draws

func drawPolicy(t *rapid.T, name string) reconcile.Policy {
	last := &reconcile.Policy{Kind: reconcile.TakeSide, Side: record.Right}
	return rapid.SampledFrom([]reconcile.Policy{
		{Kind: reconcile.Ask}, {Kind: reconcile.TakeSide, Side: record.Left}, *last, {},
		{Kind: reconcile.Newest, Fallback: last}, {Kind: reconcile.Newest},
		{Kind: reconcile.Ask, Deadline: time.Hour, Fallback: last},
	}).Draw(t, name)
}

// drawPolicies draws how each pairing is decided.
func drawPolicies(t *rapid.T) (out [6]reconcile.Policy) {
	for i, p := range pairings[:3] {
		out[i] = drawPolicy(t, p.Name)
	}
	if rapid.IntRange(0, 4).Draw(t, "resolve") == 4 {
		out[0] = reconcile.Policy{Kind: reconcile.Resolve, Resolve: longer}
	}
	side := &reconcile.Policy{Kind: reconcile.TakeSide, Side: record.Side(rapid.IntRange(0, 1).Draw(t, "side"))}
	out[3] = rapid.SampledFrom([]reconcile.Policy{{Kind: reconcile.Merge}, {Kind: reconcile.Merge, Fallback: side}}).Draw(t, "log")
	out[4] = reconcile.Policy{Kind: reconcile.Union}
	out[5] = rapid.SampledFrom([]reconcile.Policy{{Kind: reconcile.Highest, Rank: rank}, {Kind: reconcile.Lowest, Rank: rank, Fallback: side}}).Draw(t, "level")
	return out
}

func drawConfig(t *rapid.T) config {
	c := config{Policy: drawPolicies(t)}
	c.First = rapid.SampledFrom([]reconcile.First{{Mode: reconcile.FirstSide}, {Mode: reconcile.FirstSide, Side: record.Right},
		{Mode: reconcile.FirstAsk}, {Mode: reconcile.FirstNewest}, {Mode: reconcile.FirstFillEmpty}}).Draw(t, "first")
	c.CreateLeft = rapid.Bool().Draw(t, "create left")
	then := []reconcile.GoneThen{reconcile.GoneDetach, reconcile.GoneDelete, reconcile.GoneUpdate}
	c.Gone[0] = rapid.SampledFrom(then).Draw(t, "gone ticket")
	if c.CreateLeft {
		c.Gone[0] = rapid.SampledFrom(append(then, reconcile.GoneRecreate)).Draw(t, "gone ticket")
	}
	c.Gone[1] = rapid.SampledFrom(append(then, reconcile.GoneRecreate)).Draw(t, "gone incident")
	often := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) > 0 }
	c.Conditional = [2]bool{!often("unconditional tickets"), !often("unconditional incidents")}
	c.Conditional = [2]bool{!c.Conditional[0], !c.Conditional[1]}
	c.Scoped, c.Incremental = !often("scoped"), rapid.Bool().Draw(t, "incremental")
	c.Measured, c.KeepDrift, c.Poison = rapid.Bool().Draw(t, "measured"), !often("keep drift"), rapid.Bool().Draw(t, "poison")
	c.Audit, c.Audited = rapid.Bool().Draw(t, "audit"), rapid.Bool().Draw(t, "audited")
	c.Late, c.Slow = rapid.Bool().Draw(t, "late"), rapid.Bool().Draw(t, "slow")
	c.Lag = c.Slow && rapid.Bool().Draw(t, "lag")
	c.Files = rapid.SampledFrom([][2]bool{{}, {}, {false, true}, {true, true}}).Draw(t, "files")
	c.Talk = rapid.SampledFrom(talks).Draw(t, "talk")
	c.Automation = rapid.IntRange(0, 2).Draw(t, "automation")
	return c
}

func drawPoint(t *rapid.T, names []string) point {
	p := point{Name: rapid.SampledFrom(names).Draw(t, "call"), After: rapid.Bool().Draw(t, "after")}
	p.N = 1 + rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2, 3, 5}).Draw(t, "nth")
	return p
}

func drawFault(t *rapid.T) fault {
	name := rapid.SampledFrom(slices.Concat(systemCalls, systemWrites, systemWrites)).Draw(t, "faulty call")
	_, op, _ := strings.Cut(name, " ")
	return fault{Name: name, N: rapid.IntRange(1, 3).Draw(t, "nth"), Kind: rapid.SampledFrom(slices.Concat(faultKinds[op], broken)).Draw(t, "fault")}
}

// peopleDo are what people do, the frequent things several times.
var peopleDo = []string{"edit", "edit", "edit", "edit", "fight", "fight", "fight", "clear", "create", "create", "delete", "restore", "copy", "prio", "drift",
	"move", "contact", "rules", "hide", "show", "resolve", "tamper", "attach", "attach", "say", "say", "say", "gag", "ungag"}

func drawDeed(t *rapid.T, among []string) step {
	return step{
		Do: rapid.SampledFrom(among).Draw(t, "do"), Side: record.Side(rapid.IntRange(0, 1).Draw(t, "side")),
		Who: rapid.IntRange(0, 3).Draw(t, "who"), Field: rapid.SampledFrom([]int{0, 0, 1, 1, 2, 2, 3, 4, 5}).Draw(t, "field"),
		Style: rapid.IntRange(0, 5).Draw(t, "style"), Wait: rapid.SampledFrom([]int{0, 1, 5, 60}).Draw(t, "wait"),
	}
}

func drawRun(t *rapid.T, troubled bool) step {
	st := step{Do: "run", Wait: rapid.SampledFrom([]int{0, 15, 60, 100}).Draw(t, "wait")}
	st.Run.Full = rapid.Bool().Draw(t, "full")
	if !troubled {
		return st
	}
	switch rapid.IntRange(0, 8).Draw(t, "trouble") {
	case 0:
	case 1, 2, 3:
		p := drawPoint(t, callNames)
		st.Run.Die = &p
	case 4, 5:
		st.Run.Faults = rapid.SliceOfN(rapid.Custom(drawFault), 1, 3).Draw(t, "faults")
	case 6:
		p := drawPoint(t, callNames)
		st.Run.Die = &p
		st.Run.Faults = rapid.SliceOfN(rapid.Custom(drawFault), 1, 2).Draw(t, "faults")
	case 7:
		st.Run.At = drawPoint(t, slices.Concat([]string{"intend", "fold", "start run"}, systemCalls, systemWrites))
		st.Run.At.After = false
		e := drawDeed(t, []string{"edit", "edit", "edit", "clear", "delete", "move", "say"})
		st.Run.Edit = &e
	case 8:
		p := drawPoint(t, freezable)
		p.After = false
		st.Run.Freeze = &p
	}
	return st
}

func drawStory(t *rapid.T, most int) story {
	s := story{Config: drawConfig(t)}
	s.Steps = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		switch k := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case k < 6:
			st := drawDeed(t, peopleDo)
			if s.Config.Late && slices.Contains([]string{"edit", "clear", "create", "prio", "move", "say"}, st.Do) {
				st.Late = rapid.SampledFrom([]int{0, 10, 40}).Draw(t, "late")
			}
			return st
		case k == 6:
			return step{Do: rapid.SampledFrom([]string{"preview", "explain"}).Draw(t, "look")}
		default:
			return s.Config.possible(drawRun(t, true))
		}
	}), 2, most).Draw(t, "steps")
	// Every story begins with something to keep in step.
	first := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{Do: "create", Side: record.Side(rapid.IntRange(0, 1).Draw(t, "side")), Style: rapid.IntRange(0, 5).Draw(t, "style")}
	}), 1, 3).Draw(t, "first")
	if rapid.IntRange(0, 2).Draw(t, "in step") > 0 {
		first = append(first, step{Do: "run", Wait: 5})
	}
	s.Steps = append(first, s.Steps...)
	return s
}

// freezable are the calls at which a process may stand still. What it was about to create or to say is there twice if
// the other one did that meanwhile: no system can tell the two calls apart.
var freezable = slices.DeleteFunc(slices.Clone(callNames), func(name string) bool {
	return slices.Contains([]string{"ticket create", "incident create", "ticket comment", "incident comment", "ticket attach", "incident attach", "lease"}, name)
})

// possible takes out of a run what no engine could stand: that an update comes much later than it was decided, on a
// system that does not look at the version.
func (c config) possible(st step) step {
	if f := st.Run.Freeze; f != nil && (f.Name == "ticket update" && !c.Conditional[0] || f.Name == "incident update" && !c.Conditional[1]) {
		st.Run.Freeze = nil
	}
	return st
}

// live lets a step happen.
func (w *history) live(i int, st step) {
	w.wait(time.Duration(st.Wait) * time.Second)
	switch st.Do {
	case "run":
		w.run(st.Run)
	case "preview":
		w.preview()
	case "explain":
		w.explain()
	default:
		w.begin(fmt.Sprintf("v%d", i+1), st)
	}
}

// begin lets a person do something, in a transaction that may take its time.
func (w *history) begin(token string, st step) {
	if st.Late == 0 {
		w.deed(token, st)
		return
	}
	stamp := w.now
	w.at(w.now.Add(time.Duration(st.Late)*time.Second), func() {
		for _, s := range w.systems {
			s.stamp = stamp
		}
		w.deed(token, st)
		for _, s := range w.systems {
			s.stamp = time.Time{}
		}
	})
}

// word is a text that nothing else in the history has, in the style of people: with blanks, too long, in capitals.
func word(token string, style int) string {
	switch style {
	case 1:
		return " " + token + " "
	case 2:
		return token + " goes on and on"
	case 3:
		return strings.ToUpper(token)
	case 4:
		return token + " poison"
	}
	return token
}

// value is what a person writes into a two-way field.
func valueFor(p pairing, s record.Side, token string, style int, now record.Value) record.Value {
	switch {
	case p.Name == "level":
		return record.OfText(strconv.Itoa(1 + style%3))
	case p.Sep != "":
		return several(p.parts(now), token, style, p.Sep)
	}
	if p.Name == "state" {
		if s == record.Left {
			return record.OfText([]string{"new", "open", "waiting", "done", "OPEN", "New"}[style])
		}
		return record.OfText([]string{"1", "2", "6"}[style%3])
	}
	if p.Name == "note" && style == 4 {
		style = 0
	}
	if p.Name == "summary" && style == 4 {
		return record.OfText("poison" + token[1:])
	}
	return record.OfText(word(token, style))
}

// several is what a person makes of a value of several parts: one more at its end or its beginning, one less, or
// another one.
func several(parts []string, token string, style int, sep string) record.Value {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	switch style % 4 {
	case 0:
		parts = append(parts, token)
	case 1:
		parts = append([]string{token}, parts...)
	case 2:
		parts = parts[min(1, len(parts)):]
	case 3:
		parts = []string{token}
	}
	if len(parts) == 0 {
		return record.NullValue
	}
	return record.OfText(strings.Join(parts, sep))
}

// deed is what a person does.
func (w *history) deed(token string, st step) {
	clear(w.patience) // what somebody changes is decided about again
	s := w.systems[st.Side]
	keys := w.people(s)
	pick := func(keys []string) string {
		if len(keys) == 0 {
			return ""
		}
		return keys[st.Who%len(keys)]
	}
	key := pick(keys)
	p := pairings[st.Field]
	switch st.Do {
	case "create":
		f := record.Fields{"log": record.OfText(token), "tags": record.OfText(token), "level": record.OfText("2")}
		f[p.Paths[st.Side]] = valueFor(p, st.Side, token, st.Style, record.NullValue)
		title := pairings[0]
		f[title.Paths[st.Side]] = valueFor(title, st.Side, token, st.Style, record.NullValue)
		if st.Side == record.Left {
			f["queue"] = record.OfText("noc")
			f["prio"] = record.OfText("2")
		} else {
			f["number"] = record.OfText("INC-" + token)
		}
		w.created(s, s.m.Add(f), f)
	case "tie":
		f := record.Fields{"marker": record.OfText("T-01"), "number": record.OfText("INC-" + token), "summary": record.OfText(token)}
		w.created(s, s.m.Add(f), f)
	case "restore":
		gone := slices.Sorted(func(yield func(string) bool) {
			for k := range w.graves[st.Side] {
				if !yield(k) {
					return
				}
			}
		})
		if key = pick(gone); key == "" {
			return
		}
		f := w.graves[st.Side][key]
		delete(w.graves[st.Side], key)
		f[memKey] = record.OfText(key)
		s.m.Add(f)
		delete(f, memKey)
		said := len(w.said)
		w.created(s, key, f)
		for _, e := range w.said[said:] {
			e.epoch = 0 // it shows what it did before: whatever its twin got meanwhile is newer
		}
	case "rules":
		w.edition++
	case "hide":
		s.hidden[p.Paths[st.Side]] = true
		w.held = true
	case "gag", "ungag":
		s.gagged = st.Do == "gag"
	case "show":
		delete(s.hidden, p.Paths[st.Side])
	case "resolve":
		w.resolve(st.Side)
	}
	if key == "" || st.Do == "create" || st.Do == "restore" || st.Do == "tie" {
		return
	}
	switch st.Do {
	case "edit":
		w.edited(s, key, record.Fields{p.Paths[st.Side]: valueFor(p, st.Side, token, st.Style, s.m.Get(key)[p.Paths[st.Side]])})
	case "tamper":
		if w.cfg.Incremental && !w.cfg.Audit {
			return // nobody could notice
		}
		w.tampered(s, key, p, valueFor(p, st.Side, token, st.Style, s.m.Get(key)[p.Paths[st.Side]]))
	case "fight":
		a, b := w.systems[0], w.systems[1]
		if key = w.pick(a, st.Who); key == "" {
			return
		}
		if twin := w.twin(record.Left, key); b.m.Get(twin) != nil {
			w.edited(b, twin, record.Fields{p.Paths[1]: valueFor(p, record.Right, token+"b", (st.Style+1)%6, b.m.Get(twin)[p.Paths[1]])})
		}
		w.edited(a, key, record.Fields{p.Paths[0]: valueFor(p, record.Left, token+"a", st.Style, a.m.Get(key)[p.Paths[0]])})
	case "clear":
		w.edited(s, key, record.Fields{p.Paths[st.Side]: record.NullValue})
	case "delete":
		w.deleted(s, key)
	case "attach":
		w.attach(s, key, token)
	case "say":
		w.say(s, key, token, st.Style%2)
	case "copy":
		if s.phys != record.Right {
			return
		}
		f := s.m.Get(key)
		copied := s.m.Add(f)
		delete(s.born, copied) // nobody could know that its marker is taken, otherwise
		w.created(s, copied, f)
	case "prio":
		w.systems[0].m.Edit(w.pick(w.systems[0], st.Who), record.Fields{"prio": record.OfText(fmt.Sprint(st.Style))})
	case "drift":
		w.systems[1].m.Edit(w.pick(w.systems[1], st.Who), record.Fields{"urgency": record.OfText("by hand " + token)})
	case "contact":
		v := record.NullValue
		if st.Style%2 == 0 {
			v = record.OfText("by hand " + token)
		}
		w.systems[1].m.Edit(w.pick(w.systems[1], st.Who), record.Fields{"contact": v})
	case "move":
		if k := w.pick(w.systems[0], st.Who); k != "" {
			to := "noc"
			if inQueue(w.systems[0].m.Get(k)["queue"]) {
				to = "hr"
			}
			w.systems[0].m.Edit(k, record.Fields{"queue": record.OfText(to)})
		}
	}
}

// people are the records that people work on.
func (w *history) people(s *system) []string {
	return slices.DeleteFunc(s.m.Keys(), func(key string) bool { return key == w.spared })
}

func (w *history) pick(s *system, who int) string {
	if keys := w.people(s); len(keys) > 0 {
		return keys[who%len(keys)]
	}
	return ""
}

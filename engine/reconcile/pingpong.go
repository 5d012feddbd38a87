package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// PingPong is the policy of a conflict between a rule and whoever sets its value back each time.
const PingPong = "ping-pong"

// enough is how often a rule may write the same over the same before a person is asked.
const enough = 2

// A Past is something that happened to a slot of a link lately, under the rules of now. The truth tables see only what
// is; these tell that what is about to be written was written before, and that it did not last.
type Past struct {
	Side     record.Side
	Slot     int
	From, To record.Value
	Run      int64 // that wrote it, or that saw it
	At       time.Time
	Rule     string // for people: the rule that wrote it, of this sync or another; "" for a person, or a system of its own
	Ours     bool   // the rule is of this sync
	Author   string // who had written From, as its system says
}

// pingPong says why a write is one turn too many of a cycle, or "". The same goes over the same, twice already, and
// nobody outside has changed the leading side since: neither now nor between. Then writing it once more settles
// nothing. A person who toggles the leading side is no cycle, whatever the other side shows.
func (f *field) pingPong(v *Verdict) string {
	if len(f.in.Past) == 0 || v.Outcome != Write {
		return ""
	}
	for _, s := range record.Sides {
		lead := s.Other()
		if v.To[s] == nil || f.ledAnew(lead) {
			continue
		}
		since := f.led(lead)
		for k, to := range v.To[s] {
			slot := f.rule.Paths[s][k]
			from := at(f.in.Record[s].Values, slot)
			if f.stands(s, slot, to) {
				continue
			}
			var turns []Past
			for _, p := range f.in.Past {
				if p.Side == s && p.Slot == slot && p.Ours && p.Run >= since && p.From == from && f.same(s, slot, to, p.To) {
					turns = append(turns, p)
				}
			}
			if len(turns) >= enough {
				return f.turns(s, slot, from, to, turns)
			}
		}
	}
	return ""
}

// same reports whether a side stores to as stored.
func (f *field) same(s record.Side, slot int, to, stored record.Value) bool {
	return to == stored || to == at(f.in.Link.Sent[s], slot) && stored == at(f.in.Link.Base[s], slot)
}

// ledAnew reports whether somebody outside has changed the leading side, and that was not carried yet.
func (f *field) ledAnew(lead record.Side) bool {
	for k, slot := range f.rule.Reads[lead] {
		if k >= len(f.v.Base[lead]) || !f.v.Base[lead][k].Known() || f.v.Base[lead][k] == f.v.Now[lead][k] {
			continue
		}
		var last Past
		for _, p := range f.in.Past {
			if p.Side == lead && p.Slot == slot && p.Run >= last.Run {
				last = p
			}
		}
		if last.Rule == "" || last.To != f.v.Now[lead][k] {
			return true // it was no rule of another sync
		}
	}
	return false
}

// led is the last run that saw somebody outside change the leading side.
func (f *field) led(lead record.Side) (run int64) {
	for _, p := range f.in.Past {
		if p.Side == lead && p.Rule == "" && slices.Contains(f.rule.Reads[lead], p.Slot) {
			run = max(run, p.Run)
		}
	}
	return run
}

// turns tells what goes round, and who sets it back.
func (f *field) turns(s record.Side, slot int, from, to record.Value, turns []Past) string {
	path, lead := f.r.path(s, slot), s.Other()
	what := path
	if !f.rule.Sensitive {
		a, b := clip(from.String(), to.String())
		what += " " + a + " → " + b
	}
	var back []string
	note := func(who string) {
		if who != "" && !slices.Contains(back, who) {
			back = append(back, who)
		}
	}
	self := f.r.called(f.v.Rule)
	for _, p := range f.in.Past {
		switch {
		case p.Rule == "" || p.Rule == self:
		case p.Side == s && p.Slot == slot && p.To == from:
			note(p.Rule)
		case p.Side == lead && slices.Contains(f.rule.Reads[lead], p.Slot):
			note(p.Rule)
		}
	}
	if len(back) == 0 {
		for _, p := range turns {
			if p.Author != "" {
				note(p.Author + " or a rule that runs as that user in the system of " + f.r.Sides[s].Name)
			}
		}
	}
	by := cmp.Or(strings.Join(back, " and "), "somebody or a rule in the system of "+f.r.Sides[s].Name)
	return fmt.Sprintf("%s wrote %s %d times since %s, nobody changed %s in between, and each time it was set back by %s",
		self, what, len(turns), turns[0].At.UTC().Format("2006-01-02 15:04"), f.r.Sides[lead].Name, by)
}

// called names a rule with its place in the mapping.
func (r *Rules) called(rule int) string { return r.author(Set{Rule: rule, At: r.Fields[rule].At}) }

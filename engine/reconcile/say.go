package reconcile

import (
	"strings"

	"github.com/fieldsync/fieldsync/engine/record"
)

// path names a slot for people: ticket.status.
func (r *Rules) path(s record.Side, slot int) string {
	side := &r.Sides[s]
	if slot < 0 || slot >= len(side.Paths) {
		return side.Name
	}
	return side.Name + "." + side.Paths[slot]
}

// paths names several slots.
func (r *Rules) paths(s record.Side, slots []int) string {
	names := make([]string, len(slots))
	for i, slot := range slots {
		names[i] = r.path(s, slot)
	}
	return strings.Join(names, ", ")
}

// author names who sets a slot, with the place in the mapping.
func (r *Rules) author(s Set) string {
	name := "the match block"
	switch {
	case s.By != "":
		name = s.By
	case s.Rule >= 0:
		name = "field " + r.Fields[s.Rule].Name
	}
	if s.At == "" {
		return name
	}
	return name + " (" + s.At + ")"
}

// Scope names what decides which records of a side are in scope, with its place.
func (r *Rules) Scope(s record.Side) string {
	var parts []string
	for _, p := range [][2]string{{"where", r.Sides[s].WhereAt}, {"query", r.Sides[s].QueryAt}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" ("+p[1]+")")
		}
	}
	if len(parts) == 0 {
		return "its scope"
	}
	return strings.Join(parts, " or ")
}

// moves tells what moved on side s: ticket.status "open" → "resolved". A sensitive field's values stay out of it.
func (f *field) moves(s record.Side) string {
	var out []string
	for k, slot := range f.rule.Reads[s] {
		if k >= len(f.v.Base[s]) || f.v.Base[s][k] == f.v.Now[s][k] {
			continue
		}
		if f.rule.Sensitive {
			out = append(out, f.r.path(s, slot)+" changed")
			continue
		}
		from, to := clip(f.v.Base[s][k].String(), f.v.Now[s][k].String())
		out = append(out, f.r.path(s, slot)+" "+from+" → "+to)
	}
	return strings.Join(out, ", ")
}

// shows tells what side s shows: ticket.status "open".
func (f *field) shows(s record.Side) string {
	slots := f.rule.about(s)
	if len(slots) == 0 {
		return "a fixed value"
	}
	out := make([]string, len(slots))
	for i, slot := range slots {
		out[i] = f.r.path(s, slot)
		if !f.rule.Sensitive {
			v, _ := clip(at(f.env.Values[s], slot).String(), "")
			out[i] += " " + v
		}
	}
	return strings.Join(out, ", ")
}

func (f *field) bothShow() string { return f.shows(record.Left) + ", " + f.shows(record.Right) }

// about returns the slots that stand for the rule on side s: its paths, or, where it has none, what it reads.
func (r *Rule) about(s record.Side) []int {
	if len(r.Paths[s]) > 0 {
		return r.Paths[s]
	}
	return r.Reads[s]
}

// room is how many characters of a value a reason shows.
const room = 60

// clip shortens two long values to the part around their first difference, so that it stays visible.
func clip(a, b string) (string, string) {
	if len(a) <= room && len(b) <= room {
		return a, b
	}
	ra, rb := []rune(a), []rune(b)
	same := 0
	for same < len(ra) && same < len(rb) && ra[same] == rb[same] {
		same++
	}
	from := max(0, same-room/3)
	return window(ra, from), window(rb, from)
}

// window is at most room characters of r from from on, with an ellipsis where something is left out.
func window(r []rune, from int) string {
	from = min(from, max(0, len(r)-room/3))
	to := min(len(r), from+room)
	out := string(r[from:to])
	if from > 0 {
		out = "…" + out
	}
	if to < len(r) {
		out += "…"
	}
	return out
}

package main

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// tickets begin on the tool.
func (x *trial) tickets(list []*pair) {
	var made []ticket
	for _, p := range list {
		made = append(made, p.ticket)
	}
	for i, id := range x.tool.add(x.T, made) {
		list[i].id = id
	}
}

// incident begins in ServiceNow.
func (x *trial) incident(p *pair) {
	f := incidentFields(p.ticket)
	if p.sysID = x.snow.Insert("incident", f); p.sysID == "" {
		x.Fatalf("the instance refuses %v", f)
	}
}

// levels are the pairs of impact and urgency that the priorities are written as.
var levels = map[string][2]string{"1": {"1", "1"}, "2": {"1", "2"}, "3": {"2", "2"}, "4": {"2", "3"}, "5": {"3", "3"}}

// incidentFields are what is not empty of a ticket.
func incidentFields(k ticket) map[string]string {
	f := map[string]string{"short_description": k.title, "description": k.text, "state": k.state, "impact": levels[k.priority][0], "urgency": levels[k.priority][1]}
	if k.state == "6" {
		f["close_code"], f["close_notes"] = "Solution provided", "done"
	}
	maps.DeleteFunc(f, func(_, v string) bool { return v == "" })
	return f
}

// say is a comment, on the tool or in ServiceNow.
func (x *trial) say(p *pair, inServiceNow bool) {
	x.comments++
	x.changes++
	text := fmt.Sprintf("note %04d: smells\nof smoke", x.comments)
	p.said = append(p.said, text)
	if !inServiceNow {
		x.tool.comment(x.T, p.id, text)
		return
	}
	_, w := x.tool.mapping()
	x.update(p, map[string]string{w.notes: text})
}

func (x *trial) update(p *pair, f map[string]string) {
	x.Helper()
	if err := x.snow.Update("incident", p.sysID, "beth.anglin", f); err != nil {
		x.Fatal(err)
	}
}

// meet learns whose twin is whose.
func (x *trial) meet() {
	byNumber := map[string]map[string]string{}
	for _, inc := range x.snow.All("incident") {
		byNumber[inc["number"]] = inc
	}
	byTitle := map[string]*pair{}
	for _, p := range x.pairs {
		byTitle[p.title] = p
	}
	for id, k := range x.tool.all(x.T) {
		p, inc := byTitle[k.title], byNumber[k.number]
		if p == nil || inc == nil {
			x.Fatalf("ticket %s shows %+v, which nobody made or which has no incident", id, k)
		}
		if p.id == "" {
			p.id = id
		}
		if p.sysID == "" {
			p.sysID = inc["sys_id"]
		}
		if p.id != id || p.sysID != inc["sys_id"] {
			x.Errorf("%q is ticket %s and %s, and incident %s and %s", k.title, p.id, id, p.sysID, inc["sys_id"])
		}
		p.number = k.number
	}
}

// work is what people do between two runs.
func (x *trial) work() {
	var open []*pair
	for _, p := range x.pairs {
		if !p.gone && !p.closed {
			open = append(open, p)
		}
	}
	x.r.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	take := func(n int) (list []*pair) { list, open = open[:n], open[n:]; return list }
	for i, p := range take(8) {
		p.gone = true
		x.changes++
		if i%2 == 0 {
			x.tool.remove(x.T, p.id)
		} else {
			x.snow.Delete("incident", p.sysID)
		}
	}
	for i, p := range take(12) {
		x.edit(p, ticket{state: "6"}, i%2 == 0)
		p.closed = i < 6 // nobody opens these again
	}
	for i, p := range take(20) { // the same on both sides: the ticket wins
		x.edit(p, ticket{title: fmt.Sprintf("Seen there: line %03d (%d)", p.n, x.changes)}, true)
		x.edit(p, ticket{title: fmt.Sprintf("Seen here: line %03d (%d)", p.n, x.changes), priority: strconv.Itoa(1 + i%5)}, false)
	}
	for i, p := range take(40) { // different things on both sides
		x.edit(p, ticket{text: fmt.Sprintf("Line one, %d\nline two", x.changes), state: pick(x.r, trialStates)}, i%2 == 0)
		x.edit(p, ticket{title: fmt.Sprintf("Renamed %03d (%d)", p.n, x.changes), priority: strconv.Itoa(1 + x.r.IntN(5))}, i%2 == 1)
		x.say(p, i%4 < 2)
	}
}

// edit changes what is not empty.
func (x *trial) edit(p *pair, f ticket, inServiceNow bool) {
	x.changes++
	if inServiceNow {
		x.update(p, incidentFields(f))
	} else {
		x.tool.edit(x.T, p.id, f)
	}
	for to, v := range map[*string]string{&p.title: f.title, &p.text: f.text, &p.state: f.state, &p.priority: f.priority} {
		if v != "" {
			*to = v
		}
	}
}

// check holds both sides to what people did, and to each other.
func (x *trial) check(when string) {
	x.Helper()
	tickets, incidents := x.tool.all(x.T), map[string]map[string]string{}
	for _, inc := range x.snow.All("incident") {
		incidents[inc["sys_id"]] = inc
	}
	_, w := x.tool.mapping()
	live := 0
	for _, p := range x.pairs {
		k, isTicket := tickets[p.id]
		inc, isIncident := incidents[p.sysID]
		delete(tickets, p.id)
		delete(incidents, p.sysID)
		if p.gone {
			if isTicket || isIncident && inc["state"] != "8" {
				x.Errorf("%s: %q was deleted on a side; there is a ticket: %t, an incident: %t, in state %q", when, p.title, isTicket, isIncident, inc["state"])
			}
			continue
		}
		live++
		if !isTicket || !isIncident {
			x.Errorf("%s: %q has a ticket: %t, an incident: %t", when, p.title, isTicket, isIncident)
			continue
		}
		n, _ := strconv.Atoi(inc["impact"])
		m, _ := strconv.Atoi(inc["urgency"])
		shows := ticket{title: inc["short_description"], text: inc["description"], state: inc["state"], priority: strconv.Itoa(n + m - 1), number: inc["number"]}
		want := p.ticket
		talk := k.comments
		k.comments = nil
		if !cmp.Equal(k, want, cmp.AllowUnexported(ticket{})) || !cmp.Equal(shows, want, cmp.AllowUnexported(ticket{})) {
			x.Errorf("%s: the ticket %s\nshows    %+v,\nincident %+v,\nwant     %+v", when, p.id, k, shows, want)
		}
		var notes []string
		for _, e := range x.snow.Find("sys_journal_field", "element_id", p.sysID) {
			if e["element"] == w.notes {
				notes = append(notes, e["value"])
			}
		}
		x.once(when+": ticket "+p.id, talk, p.said)
		x.once(when+": incident "+p.number, notes, p.said)
	}
	for id, k := range tickets {
		x.Errorf("%s: ticket %s is one too many: %+v", when, id, k)
	}
	for id, inc := range incidents {
		x.Errorf("%s: incident %s is one too many: %q", when, id, inc["short_description"])
	}
	for _, what := range []string{"conflicts", "holds"} {
		if out, err := x.fieldsync(what, "--json"); err != nil || strings.TrimSpace(out) != "[]" {
			x.Errorf("%s: %s: %v\n%s", when, what, err, out)
		}
	}
	if x.Failed() {
		x.FailNow()
	}
	x.Logf("%s: %d live pairs agree, %d comments", when, live, x.comments)
}

// once holds a record to each comment once, and to no others.
func (x *trial) once(where string, shows, want []string) {
	x.Helper()
	for _, text := range want {
		n := 0
		for _, s := range shows {
			if strings.HasSuffix(s, text) {
				n++
			}
		}
		if n != 1 {
			x.Errorf("%s: %q is there %d times", where, text, n)
		}
	}
	if len(shows) != len(want) {
		x.Errorf("%s: %d comments, want %d: %q", where, len(shows), len(want), shows)
	}
}

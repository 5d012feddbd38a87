package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of an incident.
const (
	stateNew      = "1"
	stateProgress = "2"
	stateHold     = "3"
	stateResolved = "6"
	stateClosed   = "7"
	stateCanceled = "8"
)

// A draft is a row on its way into the table. prev is nil for a new row.
type draft struct {
	t          *table
	prev, next []string
	user       *User
}

func (d *draft) get(name string) string { return at(d.t, d.next, name) }
func (d *draft) was(name string) string { return at(d.t, d.prev, name) }

func at(t *table, v []string, name string) string {
	if i, ok := t.at[name]; ok && i < len(v) {
		return v[i]
	}
	return ""
}

func (d *draft) set(name, v string) {
	if i, ok := d.t.at[name]; ok {
		d.next[i] = v
	}
}

func (d *draft) changed(name string) bool { return d.prev != nil && d.was(name) != d.get(name) }

// becomes reports whether the draft enters a state.
func (d *draft) becomes(state string) bool { return d.get("state") == state && d.was("state") != state }

func (d *draft) clear(names ...string) {
	for _, n := range names {
		d.set(n, "")
	}
}

// closed reports whether a row is read only, where states have rules.
func (s *Server) closed(r *row) bool {
	state := r.get("state")
	return r.t.is("incident") && (state == stateClosed || state == stateCanceled) && !s.on().StateRulesOff
}

// editableWhenClosed are the fields that stay open to admins.
func editableWhenClosed(field string) bool {
	return slices.Contains([]string{"description", "subcategory", "watch_list", "work_notes_list", "parent", "parent_incident", "problem_id", "rfc",
		"caused_by", "comments", "work_notes"}, field)
}

// priorities by impact and urgency.
var priorities = map[[2]string]string{
	{"1", "1"}: "1", {"1", "2"}: "2", {"1", "3"}: "3",
	{"2", "1"}: "2", {"2", "2"}: "3", {"2", "3"}: "4",
	{"3", "1"}: "3", {"3", "2"}: "4", {"3", "3"}: "5",
}

// rules are the business rules and data policies before a row is stored.
func (s *Server) rules(d *draft, entries []entry) *failure {
	if !d.t.is("task") {
		return nil
	}
	now, me := s.clock().Format(timeLayout), s.userID(d.user.Login)
	if d.prev == nil {
		d.set("opened_at", now)
		d.set("opened_by", me)
	}
	if p, ok := priorities[[2]string{d.get("impact"), d.get("urgency")}]; ok && !s.on().PriorityOff {
		d.set("priority", p)
	}
	if d.get("assignment_group") == "" && d.get("assigned_to") == "" {
		for _, f := range []string{"service_offering", "cmdb_ci"} {
			if r := s.row("cmdb_ci", d.get(f)); r != nil {
				d.set("assignment_group", r.get("support_group"))
			}
		}
	}
	if d.changed("assignment_group") {
		d.set("reassignment_count", plusOne(d.get("reassignment_count")))
	}
	if d.t.is("incident") {
		if fail := s.incidentRules(d, entries, now, me); fail != nil {
			return fail
		}
	}
	return s.aborted(d)
}

func (s *Server) incidentRules(d *draft, entries []entry, now, me string) *failure {
	if s.on().StateRulesOff {
		return s.closing(d)
	}
	if was := d.was("state"); was == stateClosed || was == stateCanceled {
		d.restore()
		return nil
	}
	s.twin(d)
	callerSpoke := d.prev != nil && d.get("caller_id") == me && slices.ContainsFunc(entries, func(e entry) bool { return e.element == "comments" })
	if callerSpoke && d.was("state") == stateHold && d.get("state") == stateHold && d.get("hold_reason") == "1" {
		d.set("state", stateProgress)
		d.set("incident_state", stateProgress)
	}
	state := d.get("state")
	if state != stateHold {
		d.clear("hold_reason")
	}
	if fail := s.closing(d); fail != nil {
		return fail
	}
	if d.becomes(stateClosed) && !d.user.has("admin", "itil_admin") {
		if d.prev == nil {
			return denied("Insert")
		}
		return denied("Update")
	}
	if d.becomes(stateResolved) {
		d.resolve(now, me)
	}
	if d.becomes(stateClosed) {
		d.set("closed_at", now)
		d.set("closed_by", me)
	}
	if reopened := d.was("state") == stateResolved; reopened && (state == stateNew || state == stateProgress || state == stateHold) {
		d.set("reopen_count", plusOne(d.get("reopen_count")))
		d.set("reopened_time", now)
		d.set("reopened_by", me)
		d.clear("resolved_at", "resolved_by", "business_duration", "calendar_duration", "business_stc", "calendar_stc")
	}
	n, _ := strconv.Atoi(state) // an empty state counts as open
	d.set("active", strconv.FormatBool(n < 7))
	return nil
}

// closing is the data policy: what is resolved or closed says how.
func (s *Server) closing(d *draft) *failure {
	if state := d.get("state"); state != stateResolved && state != stateClosed || s.on().DataPolicyOff {
		return nil
	}
	var labels []string
	for _, f := range []string{"close_code", "close_notes"} {
		if d.get(f) == "" {
			labels = append(labels, d.t.column(f).label)
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return policy(strings.Join(labels, ", "))
}

// twin keeps incident_state and state equal; state leads when both were written.
func (s *Server) twin(d *draft) {
	changed := func(f string) bool {
		return d.changed(f) || d.prev == nil && d.get(f) != d.t.column(f).def
	}
	if !changed("state") && changed("incident_state") {
		d.set("state", d.get("incident_state"))
	}
	d.set("incident_state", d.get("state"))
}

// restore takes back the changes that a closed incident does not allow.
func (d *draft) restore() {
	for i, c := range d.t.cols {
		if !editableWhenClosed(c.name) {
			d.next[i] = d.prev[i]
		}
	}
}

func (d *draft) resolve(now, me string) {
	if d.get("resolved_at") == "" {
		d.set("resolved_at", now)
	}
	if d.get("resolved_by") == "" {
		d.set("resolved_by", me)
	}
	opened, err := time.Parse(timeLayout, d.get("opened_at"))
	if err != nil {
		return
	}
	resolved, err := time.Parse(timeLayout, d.get("resolved_at"))
	if err != nil || resolved.Before(opened) {
		return
	}
	took := resolved.Sub(opened)
	for _, kind := range []string{"business", "calendar"} {
		d.set(kind+"_stc", strconv.Itoa(int(took.Seconds())))
		d.set(kind+"_duration", time.Unix(0, 0).UTC().Add(took).Format(timeLayout))
	}
}

// children follow their parent incident into work, on hold (unless it waits for its caller) and resolution.
func (s *Server) children(d *draft, r *row) {
	if !r.t.is("incident") || !d.changed("state") {
		return
	}
	state := d.get("state")
	fields := map[string]string{"state": state}
	switch {
	case state == stateProgress:
	case state == stateHold && d.get("hold_reason") != "1":
		fields["hold_reason"] = d.get("hold_reason")
	case state == stateResolved:
		fields["close_code"], fields["close_notes"] = d.get("close_code"), d.get("close_notes")
	default:
		return
	}
	for _, child := range slices.Clone(r.t.equal("parent_incident", r.id)) {
		// A refusal stays with the child; the parent's write has happened.
		if !s.closed(child) {
			_ = s.update(child, child.t, d.user, input{fields: fields})
		}
	}
}

func plusOne(v string) string {
	n, _ := strconv.Atoi(v) // counters start empty on tables without a default
	return strconv.Itoa(n + 1)
}

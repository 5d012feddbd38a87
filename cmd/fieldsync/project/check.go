package project

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// Check asks one system, then each of its collections that a sync uses.
func (p *Project) Check(ctx context.Context, c *mapping.Connection) []report.Finding {
	var list []report.Finding
	add := func(ok bool, what, detail, hint string) {
		list = append(list, report.Finding{Connection: c.Name, OK: ok, What: what, Detail: detail, Hint: hint})
	}
	open, err := p.connection(c)
	if err != nil {
		add(false, "settings", err.Error(), WayOut(err))
		return list
	}
	if checker, ok := open.(connectors.Checker); ok {
		found, err := checker.Check(ctx)
		for _, f := range found {
			add(f.OK, f.What, f.Detail, f.Hint)
		}
		if err != nil {
			add(false, "contact", err.Error(), WayOut(err))
			return list
		}
	}
	for _, s := range p.Syncs {
		for i, side := range s.Sides {
			if side.Connection != c {
				continue
			}
			what := "sync " + s.Name
			writes := s.Writes[i]
			job, jobErr := p.Job(ctx, s, JobOptions{Preview: true, Trigger: "check"})
			if jobErr == nil {
				writes = writesOf(job.Rules, record.Side(i)) // what the systems say of their fields counts, too
			}
			keeps, err := p.checkSide(ctx, side, writes)
			if errors.Is(err, connectors.ErrAuth) && slices.ContainsFunc(list, func(f report.Finding) bool { return !f.OK }) {
				return list // the log-in said it already
			}
			if err != nil {
				add(false, what, fmt.Sprintf("%s: %v", side.Collection, err), WayOut(err))
				continue
			}
			add(true, what, side.Collection+": "+strings.Join(append([]string{Plural(len(writes), "path") + " to write" + p.counted(ctx, side)}, keeps...), "; "), "")
			if unfilled := p.unfilled(ctx, side, writes); len(unfilled) > 0 {
				add(false, what, fmt.Sprintf("%s: new records need %s, which no field writes", side.Collection, strings.Join(unfilled, ", ")),
					"add a field for each, or let the system fill it: else creates will be refused")
			}
			if jobErr == nil {
				list = append(list, p.entitled(ctx, s, job.Rules, record.Side(i))...)
				ok, detail, hint := p.sample(ctx, job, record.Side(i))
				add(ok, what, side.Collection+": "+detail, hint)
			}
		}
	}
	if len(list) == 0 {
		add(true, "settings", "nothing to ask this system, and no sync uses it", "")
	}
	return list
}

// unfilled are the paths that a new record needs and no rule writes, where records are created.
func (p *Project) unfilled(ctx context.Context, side mapping.Side, writes []string) (paths []string) {
	e, err := p.End(ctx, side)
	if err != nil || e.Schema == nil || !side.Create {
		return nil
	}
	for _, f := range e.Schema.Fields {
		if f.Required && !f.ReadOnly && f.Path != e.Schema.Key && !slices.Contains(writes, f.Path) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// entitled asks a collection whether the account may do what the rules are going to.
func (p *Project) entitled(ctx context.Context, s *mapping.Sync, rules *reconcile.Rules, i record.Side) []report.Finding {
	side := s.Sides[i]
	say := func(f connectors.Finding) report.Finding {
		return report.Finding{Connection: side.Connection.Name, OK: f.OK, What: "rights, sync " + s.Name, Detail: side.Collection + ": " + f.Detail, Hint: f.Hint}
	}
	e, err := p.End(ctx, side)
	if err != nil {
		return nil // checkSide has said it
	}
	col, ok := connectors.As[connectors.Entitler](e.Col)
	if !ok {
		return nil
	}
	found, err := col.Entitled(ctx, demandOf(s, rules, i))
	if err != nil {
		return []report.Finding{say(connectors.Finding{Detail: err.Error(), Hint: WayOut(err)})}
	}
	var list []report.Finding
	for _, f := range found {
		list = append(list, say(f))
	}
	return list
}

// demandOf is what a sync is going to do with one of its sides.
func demandOf(s *mapping.Sync, r *reconcile.Rules, side record.Side) connectors.Demand {
	d := connectors.Demand{Writes: writesOf(r, side), Values: s.Sends(side), Create: r.Sides[side].Create, Delete: r.Sides[side.Other()].Gone.Then == reconcile.GoneDelete}
	for _, n := range r.Sides[side].Needs {
		path := r.Sides[side].Paths[n.Slot]
		d.Values[path] = append(d.Values[path], n.To)
	}
	if c := r.Comments; c != nil {
		d.Comments = connectors.Carried{Path: c.Paths[side], Write: c.To[side]}
	}
	if a := r.Attachments; a != nil {
		d.Files = connectors.Carried{Path: a.Paths[side], Write: a.To[side]}
	}
	return d
}

// counted says how many records the system counts in a side's query, where it can.
func (p *Project) counted(ctx context.Context, side mapping.Side) string {
	e, err := p.End(ctx, side)
	if err != nil {
		return ""
	}
	c, ok := connectors.As[connectors.Counter](e.Col)
	if !ok {
		return ""
	}
	n, err := c.Count(ctx, side.Query)
	if err != nil {
		return fmt.Sprintf("; its records cannot be counted: %v", err)
	}
	return "; " + Plural(int(n), "record") + " in its query"
}

// writesOf are the paths of a side that rules write, markers, the values of on_gone and what the scope asks of new records among them; sorted.
func writesOf(r *reconcile.Rules, s record.Side) []string {
	slots := map[int]bool{}
	for _, f := range r.Fields {
		for _, slot := range f.Paths[s] {
			slots[slot] = slots[slot] || f.To[s] != nil
		}
	}
	for _, m := range r.Match {
		slots[m.Slots[s]] = slots[m.Slots[s]] || m.Marker[s]
	}
	for slot := range r.Sides[s.Other()].Gone.Set {
		slots[slot] = true
	}
	for _, n := range r.Sides[s].Needs {
		slots[n.Slot] = true
	}
	var paths []string
	for slot, path := range r.Sides[s].Paths {
		if slots[slot] {
			paths = append(paths, path)
		}
	}
	return paths
}

// sampled is how many records are looked through for one that is in scope.
const sampled = 1000

// sample shows the first record of a side that is in scope, as the rules see it.
func (p *Project) sample(ctx context.Context, job engine.Job, side record.Side) (ok bool, detail, hint string) {
	rules, seen, shown := job.Rules, 0, ""
	_, err := job.Ends[side].Handle.Scan(ctx, connectors.Query{Paths: rules.Sides[side].Paths, Native: job.Ends[side].Native}, func(rec record.Record) error {
		if where := rules.Sides[side].Where; where != nil {
			env := reconcile.Env{Time: p.Now()}
			env.Values[side] = rec.Values
			if in, err := where(env); err != nil || !in {
				if seen++; seen < sampled {
					return nil
				}
				return ErrEnough
			}
		}
		shown = "for example " + rec.Name() + ": " + strings.Join(excerpt(rules, side, rec.Values), ", ")
		return ErrEnough
	})
	switch {
	case err != nil && !errors.Is(err, ErrEnough):
		return false, err.Error(), WayOut(err)
	case shown != "":
		return true, shown, ""
	case seen > 0:
		return true, fmt.Sprintf("none of the first %d records is in scope", seen), ""
	}
	return true, "no record is in scope", ""
}

// ErrEnough ends an enumeration whose caller has seen enough.
var ErrEnough = errors.New("enough")

// excerpt is what a few paths of a record show. What rules call sensitive is not shown.
func excerpt(rules *reconcile.Rules, side record.Side, values []record.Value) []string {
	const paths, length = 6, 40
	hide := map[int]bool{}
	for _, f := range rules.Fields {
		for _, slot := range slices.Concat(f.Paths[side], f.Reads[side]) {
			hide[slot] = hide[slot] || f.Sensitive
		}
	}
	var list []string
	for slot, v := range values {
		if len(list) == paths {
			return append(list, "…")
		}
		text := []rune(v.String())
		switch {
		case v.Empty():
			continue
		case hide[slot]:
			text = []rune("(sensitive)")
		case len(text) > length:
			text = append(text[:length], '…')
		}
		list = append(list, rules.Sides[side].Paths[slot]+" "+string(text))
	}
	return list
}

// checkSide looks whether a collection is there and has the paths that rules write, and says where it keeps comments
// and attachments.
func (p *Project) checkSide(ctx context.Context, side mapping.Side, writes []string) (keeps []string, err error) {
	e, err := p.End(ctx, side)
	if err != nil {
		return nil, err
	}
	if r, ok := connectors.As[connectors.Requirer](e.Col); ok && len(writes) > 0 {
		if err := r.Require(ctx, writes); err != nil {
			return nil, err
		}
	}
	schema := e.Schema
	if schema == nil {
		return nil, nil
	}
	for _, beside := range Besides(schema) {
		keeps = append(keeps, beside.What+" under "+strings.Join(beside.Where, ", "))
	}
	var missing, fixed []string
	for _, path := range writes {
		switch f, ok := schema.Field(path); {
		case !ok && !schema.Open:
			missing = append(missing, path)
		case ok && f.ReadOnly:
			fixed = append(fixed, path)
		}
	}
	var errs []error
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("it has no %s", strings.Join(missing, ", ")))
	}
	if len(fixed) > 0 {
		errs = append(errs, fmt.Errorf("this user may not write %s", strings.Join(fixed, ", ")))
	}
	if len(errs) == 0 {
		return keeps, nil
	}
	return nil, Hinted(errors.Join(errs...), fmt.Sprintf("fieldsync fields %s %s lists what there is", side.Connection.Name, side.Collection))
}

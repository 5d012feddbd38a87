package project

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Rules makes the rules of a sync and says what is wrong with them. A side that cannot be asked is a warning: its
// paths stay unchecked.
func (p *Project) Rules(ctx context.Context, s *mapping.Sync, ask bool) (*mapping.Compiled, hcl.Diagnostics) {
	var schemas [2]*connectors.Schema
	var diags hcl.Diagnostics
	for i, side := range s.Sides {
		if !ask || side.Connection == nil || len(side.Connection.Missing) > 0 {
			continue // the missing variables are a warning of their own
		}
		e, err := p.End(ctx, side)
		if err != nil {
			diags = append(diags, unasked(side, err))
		} else if d := uncreatable(side, e.Col); d != nil {
			diags = append(diags, d)
		}
		schemas[i] = e.Schema
	}
	c, more := p.Compile(s, schemas)
	return c, append(diags, more...)
}

// uncreatable is an error when records are to be created where that cannot be done.
func uncreatable(side mapping.Side, col connectors.Collection) *hcl.Diagnostic {
	if _, ok := connectors.As[connectors.Creator](col); ok || !side.Create {
		return nil
	}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Records cannot be created here", Subject: &side.Range,
		Detail: fmt.Sprintf("The collection %q of connection %q has no way to create records. Remove create = true, so that records are paired alone.", side.Collection, side.Connection.Name)}
}

// unasked is a warning when a system is away or shut, and an error when it says that the mapping is wrong.
func unasked(side mapping.Side, err error) *hcl.Diagnostic {
	d := &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Paths are not checked", Subject: &side.Range,
		Detail: fmt.Sprintf("The collection %q could not be asked for its fields: %v.", side.Collection, err)}
	if errors.Is(err, connectors.ErrConfig) || errors.Is(err, connectors.ErrNotFound) {
		d.Severity, d.Summary, d.Detail = hcl.DiagError, "Collection cannot be used", fmt.Sprintf("%v.", err)
	}
	if hint := WayOut(err); hint != "" {
		d.Detail += "\nWay out: " + hint + "."
	}
	return d
}

// JobOptions say how a sync is to be run.
type JobOptions struct {
	Preview bool // systems are wrapped so that a write fails
	Full    bool
	Again   bool // what is held is tried before its time
	Trigger string
	Only    [2][]string
}

// Job compiles a sync and opens both of its sides.
func (p *Project) Job(ctx context.Context, s *mapping.Sync, o JobOptions) (engine.Job, error) {
	j := engine.Job{Full: o.Full, Again: o.Again, FullSince: fullSince(s, p.Now()), Trigger: o.Trigger, Only: o.Only,
		Limits: engine.Limits{Creates: engine.Limit(s.Limits.Creates), Updates: engine.Limit(s.Limits.Updates), Deletes: engine.Limit(s.Limits.Deletes)}}
	var schemas [2]*connectors.Schema
	for i, side := range s.Sides {
		e, err := p.End(ctx, side)
		if err != nil {
			return j, fmt.Errorf("%s: %w", side.Name, err)
		}
		if d := uncreatable(side, e.Col); d != nil {
			return j, Diagnosed{Files: p.Files, Diags: hcl.Diagnostics{d}}
		}
		schemas[i] = e.Schema
		col := e.Col
		if o.Preview {
			col = guard.ReadOnly(col)
		}
		j.Ends[i] = engine.End{Connection: side.Connection.Name, Collection: side.Collection, Endpoint: side.Connection.Identity + "/" + side.Collection,
			Handle: col, Schema: schemas[i], Native: side.Query, Limits: side.Connection.Limits}
	}
	compiled, diags := p.Compile(s, schemas)
	if diags.HasErrors() {
		return j, Diagnosed{Files: p.Files, Diags: diags}
	}
	j.Rules, j.Peers = compiled.Rules, p.peers(s)
	if len(compiled.Lookups) > 0 {
		j.Fetch = func(ctx context.Context, needs []reconcile.Needed) error {
			return p.Fetch(ctx, compiled.Lookups, needs)
		}
	}
	return j, nil
}

// peers are the other syncs that have a collection of s.
func (p *Project) peers(s *mapping.Sync) []engine.Peer {
	var out []engine.Peer
	for _, o := range p.Syncs {
		for i, theirs := range o.Sides {
			for k, ours := range s.Sides {
				if o != s && theirs.Connection == ours.Connection && theirs.Collection == ours.Collection {
					out = append(out, engine.Peer{Sync: o.Name, Side: [2]record.Side{record.Side(k), record.Side(i)}, At: o.FieldsAt()})
				}
			}
		}
	}
	return out
}

// Fetch gets rows of live translations.
func (p *Project) Fetch(ctx context.Context, lookups []*mapping.Translation, needs []reconcile.Needed) error {
	for _, t := range lookups {
		col, err := p.Collection(ctx, t.Lookup.Connection, t.Lookup.Collection)
		if err != nil {
			return fmt.Errorf("translation %s: %w", t.Name, err)
		}
		if err := t.Fetch(ctx, col, needs, p.Now()); err != nil {
			return err
		}
	}
	return nil
}

// Engine carries out this project's jobs, and tells progress of it unless that is nil.
func (p *Project) Engine(progress func(engine.Progress)) *engine.Engine {
	return &engine.Engine{Store: p.State, Log: p.Log, Now: p.Now, Owner: p.Owner, Keep: p.Settings.History, Span: p.Meter.Span, Progress: progress}
}

// Failed keeps the account of a run that ended before there was a plan, so that runs and status tell of it, and
// returns why.
func (p *Project) Failed(ctx context.Context, sync, trigger string, began time.Time, why error) error {
	if errors.Is(why, engine.ErrLeased) || ctx.Err() != nil {
		return why
	}
	acc := plan.Run{Sync: sync, Started: began, Ended: p.Now(), Trigger: trigger, Err: why.Error(), Hint: WayOut(why)}
	ctx = context.WithoutCancel(ctx)
	if err := p.Engine(nil).Failed(ctx, acc); err != nil && !errors.Is(err, engine.ErrLeased) {
		return errors.Join(why, fmt.Errorf("record the run: %w", err))
	}
	return why
}

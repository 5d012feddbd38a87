package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/console"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// The counts of rules are of so many runs, and of so many entries of the history at most.
const (
	countedRuns    = 40
	countedEntries = 20000
)

func (b *backend) Rules(ctx context.Context, sync string) (console.Rules, error) {
	r, release := b.hold()
	defer release()
	m, err := b.named(r, sync)
	if err != nil {
		return console.Rules{}, err
	}
	c, diags := r.Rules(ctx, m, false)
	if diags.HasErrors() {
		return console.Rules{}, project.Diagnosed{Files: r.Files, Diags: diags}
	}
	v := console.Rules{Sync: sync, At: at(m.Range), Fields: []console.Field{}, Others: []console.Setting{}}
	block, src := r.block(m)
	hide := hider(r.Config)
	for _, s := range record.Sides {
		side := m.Sides[s]
		v.Sides[s] = console.End{Name: side.Name, Connection: side.Connection.Name, Collection: side.Collection, Scope: scope(block, src, side), Create: side.Create}
	}
	for i := range c.Rules.Fields {
		f := &c.Rules.Fields[i]
		row := console.Field{Name: f.Name, At: f.At, Sensitive: f.Sensitive, Settings: []console.Setting{}, To: [2]bool{f.To[0] != nil, f.To[1] != nil}, Paths: [2][]string{{}, {}}}
		if f.TwoWay() {
			row.Policy = policyOf(c.Rules, f.Policy)
		}
		for _, s := range record.Sides {
			slots := f.Paths[s]
			if len(slots) == 0 {
				slots = f.Reads[s]
			}
			for _, slot := range slots {
				row.Paths[s] = append(row.Paths[s], c.Rules.Sides[s].Paths[slot])
			}
		}
		for _, set := range fieldSettings(block, src, f.Name) {
			if set.Name != m.Sides[0].Name && set.Name != m.Sides[1].Name && set.Name != "conflict" {
				set.Text = hide(set.Text)
				row.Settings = append(row.Settings, set)
			}
		}
		v.Fields = append(v.Fields, row)
	}
	for _, set := range otherSettings(block, src) {
		set.Text = hide(set.Text)
		v.Others = append(v.Others, set)
	}
	return v, b.count(ctx, &v)
}

// policyOf names a policy, with the side that it takes.
func policyOf(r *reconcile.Rules, p reconcile.Policy) string {
	if p.Kind == reconcile.TakeSide {
		return r.Sides[p.Side].Name + " wins"
	}
	return p.Kind.String()
}

// count adds what the rules did, and what waits of them.
func (b *backend) count(ctx context.Context, v *console.Rules) error {
	row := map[string]*console.Field{}
	for i := range v.Fields {
		row[v.Fields[i].Name] = &v.Fields[i]
	}
	var runs []plan.Run
	if err := b.state.Runs(ctx, v.Sync, countedRuns, func(r plan.Run) error { runs = append(runs, r); return nil }); err != nil {
		return err
	}
	v.Runs = int64(len(runs))
	n := 0
	for _, run := range runs {
		if run.Done == 0 {
			continue
		}
		err := b.state.Wrote(ctx, run.ID, func(x engine.Entry) error {
			if n++; n > countedEntries {
				return project.ErrEnough
			}
			f := row[x.Rule]
			if f == nil || x.Cause != engine.ByRule && x.Cause != engine.Unseen {
				return nil
			}
			f.Wrote[x.Side]++
			if x.At.After(f.Last) {
				f.Last, f.LastRun = x.At, x.Run
			}
			return nil
		})
		if errors.Is(err, project.ErrEnough) {
			break
		}
		if err != nil {
			return err
		}
	}
	return b.state.Waiting(ctx, v.Sync, func(w engine.Waiting) error {
		if c := w.Conflict; c != nil && row[c.Field] != nil {
			row[c.Field].Conflicts++
		}
		if h := w.Hold; h != nil && row[h.Field] != nil {
			row[h.Field].Held++
		}
		return nil
	})
}

// block finds the text of a sync; nil where it cannot be shown.
func (r *ruleset) block(m *mapping.Sync) (*hclsyntax.Block, []byte) {
	f := r.Files[m.Range.Filename]
	if f == nil {
		return nil, nil
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return nil, nil
	}
	for _, b := range body.Blocks {
		if b.Type == "sync" && len(b.Labels) == 1 && b.Labels[0] == m.Name {
			return b, f.Bytes
		}
	}
	return nil, nil
}

// fieldSettings are the arguments of a field block in the order in which they stand.
func fieldSettings(sync *hclsyntax.Block, src []byte, name string) []console.Setting {
	if sync == nil {
		return nil
	}
	for _, b := range sync.Body.Blocks {
		if b.Type == "field" && len(b.Labels) == 1 && b.Labels[0] == name {
			return arguments(b.Body, src)
		}
	}
	return nil
}

func arguments(body *hclsyntax.Body, src []byte) []console.Setting {
	var list []*hclsyntax.Attribute
	for _, a := range body.Attributes {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *hclsyntax.Attribute) int { return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte) })
	var out []console.Setting
	for _, a := range list {
		out = append(out, console.Setting{Name: a.Name, Text: textOf(src, a.Expr.Range())})
	}
	return out
}

// otherSettings is what a sync says beside its sides and fields.
func otherSettings(sync *hclsyntax.Block, src []byte) []console.Setting {
	if sync == nil {
		return nil
	}
	out := arguments(sync.Body, src)
	for _, b := range sync.Body.Blocks {
		if b.Type == "field" || b.Type == "side" {
			continue
		}
		var lines []string
		for _, s := range arguments(b.Body, src) {
			lines = append(lines, s.Name+" = "+s.Text)
		}
		out = append(out, console.Setting{Name: strings.Join(append([]string{b.Type}, b.Labels...), " "), Text: strings.Join(lines, "\n")})
	}
	return out
}

// scope is what a side's block says of which records count, as it stands there.
func scope(sync *hclsyntax.Block, src []byte, side mapping.Side) string {
	if sync == nil {
		return side.Query
	}
	var parts []string
	for _, b := range sync.Body.Blocks {
		if b.Type == "side" && len(b.Labels) == 1 && b.Labels[0] == side.Name {
			for _, name := range []string{"where", "query"} {
				if a := b.Body.Attributes[name]; a != nil {
					parts = append(parts, strings.Trim(textOf(src, a.Expr.Range()), `"`))
				}
			}
		}
	}
	return strings.Join(parts, " and ")
}

func textOf(src []byte, r hcl.Range) string {
	if r.End.Byte > len(src) || r.Start.Byte > r.End.Byte {
		return ""
	}
	return string(src[r.Start.Byte:r.End.Byte])
}

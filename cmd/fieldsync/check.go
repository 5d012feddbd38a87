package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) checkCmd() *cobra.Command {
	var create bool
	var sets []string
	var conform conformance
	c := &cobra.Command{
		Use:   "check [CONNECTION]",
		Short: "log in to the systems and say what a first run would stumble over",
		Long: `Logs in to each connection and shows who is logged in, with which rights, and what is
missing; then looks whether the collections of the syncs and the paths that their rules
write are there, whether the account has the rights that those need (for ServiceNow by
role), and shows a record. Nothing is written, unless --create-test-record asks
for it: then a record with a marker of its own is made wherever a sync may create records,
found again by that marker, and taken away. No sync ever takes such a record for its own.

Writers of connectors and plugins hold theirs to the contract with --conformance: it makes,
changes and deletes records in a collection, which has to be empty.`,
		Example: `  fieldsync check
  fieldsync check prod --json
  fieldsync check prod --create-test-record
  fieldsync check shop --conformance sandbox
  fieldsync check prod --create-test-record --set caller_id=62826bf03710200044e0bfc8bcbe5df1`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeConnections,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			conns := p.Connections
			if len(args) == 1 {
				one, err := p.named(args[0])
				if err != nil {
					return err
				}
				conns = []*mapping.Connection{one}
			}
			set, err := settings(sets)
			switch {
			case conform.collection != "" && len(args) == 0:
				err = hinted{errors.New("--conformance is about one connection"), "name it: fieldsync check CONNECTION --conformance COLLECTION"}
			case conform.collection == "" && conform.marker+conform.text != "":
				err = hinted{errors.New("--marker and --text are about conformance"), "add --conformance COLLECTION"}
			}
			if err == nil && len(set) > 0 && !create {
				err = hinted{errors.New("--set is about a test record, and none is made"), "add --create-test-record"}
			}
			if err != nil {
				return err
			}
			list := []report.Finding{}
			if conform.collection != "" {
				list, conns = p.conforms(c.Context(), conns[0], conform), nil
			}
			for _, conn := range conns {
				list = append(list, p.check(c.Context(), conn)...)
				if create {
					list = append(list, p.tryCreates(c.Context(), conn, set)...)
				}
			}
			if a.json {
				err = report.JSON(a.out, list)
			} else {
				err = report.Findings(a.out, list, a.style)
			}
			if err == nil && slices.ContainsFunc(list, func(f report.Finding) bool { return !f.OK }) {
				return exit(exitError)
			}
			return err
		},
	}
	c.Flags().BoolVar(&create, "create-test-record", false, "make a marked record where syncs create them, and take it away again")
	c.Flags().StringVar(&conform.collection, "conformance", "", "hold this empty `COLLECTION` of the connection to the contract of connectors")
	c.Flags().StringVar(&conform.marker, "marker", "", "with --conformance: `PATH` of text that creates are found by (default: a text field)")
	c.Flags().StringVar(&conform.text, "text", "", "with --conformance: `PATH` of free text (default: another one)")
	c.Flags().StringArrayVar(&sets, "set", nil, "give the test record this `PATH=VALUE`; may be repeated")
	return c
}

// check asks one system, then each of its collections that a sync uses.
func (p *project) check(ctx context.Context, c *mapping.Connection) []report.Finding {
	var list []report.Finding
	add := func(ok bool, what, detail, hint string) {
		list = append(list, report.Finding{Connection: c.Name, OK: ok, What: what, Detail: detail, Hint: hint})
	}
	open, err := p.connection(c)
	if err != nil {
		add(false, "settings", err.Error(), wayOut(err))
		return list
	}
	if checker, ok := open.(connectors.Checker); ok {
		found, err := checker.Check(ctx)
		for _, f := range found {
			add(f.OK, f.What, f.Detail, f.Hint)
		}
		if err != nil {
			add(false, "contact", err.Error(), wayOut(err))
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
			job, jobErr := p.job(ctx, s, jobOptions{preview: true, trigger: "check"})
			if jobErr == nil {
				writes = writesOf(job.Rules, record.Side(i)) // what the systems say of their fields counts, too
			}
			keeps, err := p.checkSide(ctx, side, writes)
			if errors.Is(err, connectors.ErrAuth) && slices.ContainsFunc(list, func(f report.Finding) bool { return !f.OK }) {
				return list // the log-in said it already
			}
			if err != nil {
				add(false, what, fmt.Sprintf("%s: %v", side.Collection, err), wayOut(err))
				continue
			}
			add(true, what, side.Collection+": "+strings.Join(append([]string{plural(len(writes), "path") + " to write" + p.counted(ctx, side)}, keeps...), "; "), "")
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
func (p *project) unfilled(ctx context.Context, side mapping.Side, writes []string) (paths []string) {
	e, err := p.end(ctx, side)
	if err != nil || e.schema == nil || !side.Create {
		return nil
	}
	for _, f := range e.schema.Fields {
		if f.Required && !f.ReadOnly && f.Path != e.schema.Key && !slices.Contains(writes, f.Path) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// entitled asks a collection whether the account may do what the rules are going to.
func (p *project) entitled(ctx context.Context, s *mapping.Sync, rules *reconcile.Rules, i record.Side) []report.Finding {
	side := s.Sides[i]
	say := func(f connectors.Finding) report.Finding {
		return report.Finding{Connection: side.Connection.Name, OK: f.OK, What: "rights, sync " + s.Name, Detail: side.Collection + ": " + f.Detail, Hint: f.Hint}
	}
	e, err := p.end(ctx, side)
	if err != nil {
		return nil // checkSide has said it
	}
	col, ok := connectors.As[connectors.Entitler](e.col)
	if !ok {
		return nil
	}
	found, err := col.Entitled(ctx, demandOf(s, rules, i))
	if err != nil {
		return []report.Finding{say(connectors.Finding{Detail: err.Error(), Hint: wayOut(err)})}
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
	if c := r.Comments; c != nil {
		d.Comments = connectors.Carried{Path: c.Paths[side], Write: c.To[side]}
	}
	if a := r.Attachments; a != nil {
		d.Files = connectors.Carried{Path: a.Paths[side], Write: a.To[side]}
	}
	return d
}

// counted says how many records the system counts in a side's query, where it can.
func (p *project) counted(ctx context.Context, side mapping.Side) string {
	e, err := p.end(ctx, side)
	if err != nil {
		return ""
	}
	c, ok := connectors.As[connectors.Counter](e.col)
	if !ok {
		return ""
	}
	n, err := c.Count(ctx, side.Query)
	if err != nil {
		return fmt.Sprintf("; its records cannot be counted: %v", err)
	}
	return "; " + plural(int(n), "record") + " in its query"
}

// writesOf are the paths of a side that rules write, markers and the values of on_gone among them; sorted.
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
func (p *project) sample(ctx context.Context, job engine.Job, side record.Side) (ok bool, detail, hint string) {
	rules, seen, shown := job.Rules, 0, ""
	_, err := job.Ends[side].Handle.Scan(ctx, connectors.Query{Paths: rules.Sides[side].Paths, Native: job.Ends[side].Native}, func(rec record.Record) error {
		if where := rules.Sides[side].Where; where != nil {
			env := reconcile.Env{Time: p.app.now()}
			env.Values[side] = rec.Values
			if in, err := where(env); err != nil || !in {
				if seen++; seen < sampled {
					return nil
				}
				return errEnough
			}
		}
		shown = "for example " + rec.Name() + ": " + strings.Join(excerpt(rules, side, rec.Values), ", ")
		return errEnough
	})
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return false, err.Error(), wayOut(err)
	case shown != "":
		return true, shown, ""
	case seen > 0:
		return true, fmt.Sprintf("none of the first %d records is in scope", seen), ""
	}
	return true, "no record is in scope", ""
}

var errEnough = errors.New("enough")

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
func (p *project) checkSide(ctx context.Context, side mapping.Side, writes []string) (keeps []string, err error) {
	e, err := p.end(ctx, side)
	if err != nil {
		return nil, err
	}
	if r, ok := connectors.As[connectors.Requirer](e.col); ok && len(writes) > 0 {
		if err := r.Require(ctx, writes); err != nil {
			return nil, err
		}
	}
	schema := e.schema
	if schema == nil {
		return nil, nil
	}
	for _, beside := range besides(schema) {
		keeps = append(keeps, beside.what+" under "+strings.Join(beside.where, ", "))
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
	return nil, hinted{errors.Join(errs...), fmt.Sprintf("fieldsync fields %s %s lists what there is", side.Connection.Name, side.Collection)}
}

func (a *app) fieldsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "fields CONNECTION COLLECTION",
		Short: "list a collection's fields with type, label and choices",
		Example: `  fieldsync fields prod incident
  fieldsync fields prod incident --json | jq -r '.fields[] | select(.required) | .path'`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeConnections,
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.openProject()
			if err != nil {
				return err
			}
			defer p.Close()
			conn, err := p.named(args[0])
			if err != nil {
				return err
			}
			col, err := p.collection(c.Context(), conn, args[1])
			if err != nil {
				return err
			}
			d, ok := connectors.As[connectors.Describer](col)
			if !ok {
				return hinted{fmt.Errorf("connection %s does not describe %s", args[0], args[1]), "its paths are those that its records have; look at a record in the system itself"}
			}
			schema, err := d.Describe(c.Context())
			if err != nil {
				return fmt.Errorf("connection %s: %w", args[0], err)
			}
			if a.json {
				return report.JSON(a.out, schemaView(schema))
			}
			return a.printSchema(schema)
		},
	}
}

// A fieldView is one described path, for programs.
type fieldView struct {
	Path      string       `json:"path"`
	Label     string       `json:"label,omitempty"`
	Type      string       `json:"type"`
	Native    string       `json:"native,omitempty"`
	MaxLength int          `json:"max_length,omitempty"`
	ReadOnly  bool         `json:"read_only,omitempty"`
	Once      bool         `json:"once,omitempty"`
	Required  bool         `json:"required,omitempty"`
	Append    bool         `json:"append,omitempty"`
	Reference string       `json:"reference,omitempty"`
	Choices   []choiceView `json:"choices,omitempty"`
	Closed    bool         `json:"closed,omitempty"`
}

type choiceView struct {
	Value any    `json:"value"`
	Label string `json:"label,omitempty"`
}

func schemaView(s *connectors.Schema) map[string]any {
	fields := []fieldView{}
	for _, f := range s.Fields {
		v := fieldView{Path: f.Path, Label: f.Label, Type: f.Type.String(), Native: f.Native, MaxLength: f.MaxLength, ReadOnly: f.ReadOnly,
			Once: f.Once, Required: f.Required, Append: f.Append, Reference: f.Reference, Closed: f.Closed}
		for _, c := range f.Choices {
			v.Choices = append(v.Choices, choiceView{c.Value, c.Label})
		}
		fields = append(fields, v)
	}
	v := map[string]any{"key": s.Key, "label": s.Label, "open": s.Open, "fields": fields}
	if len(s.Threads) > 0 {
		v["comments"] = threads(s.Threads)
	}
	if len(s.Files) > 0 {
		v["attachments"] = threads(s.Files)
	}
	return v
}

// A beside is what a collection keeps beside its fields.
type beside struct {
	what  string
	where []string
}

func besides(s *connectors.Schema) []beside {
	var list []beside
	for _, b := range []struct {
		what    string
		threads []connectors.Thread
	}{{"comments", s.Threads}, {"attachments", s.Files}} {
		var where []string
		for _, t := range b.threads {
			switch t.Readers {
			case connectors.Staff:
				where = append(where, t.Path+" (for staff alone)")
			case connectors.Public:
				where = append(where, t.Path+" (customers read them)")
			default:
				where = append(where, t.Path)
			}
		}
		if where != nil {
			list = append(list, beside{b.what, where})
		}
	}
	return list
}

// A threadView is one path of comments or attachments, for programs.
type threadView struct {
	Path    string `json:"path"`
	Label   string `json:"label,omitempty"`
	Readers string `json:"readers,omitempty"`
}

func threads(list []connectors.Thread) []threadView {
	views := make([]threadView, len(list))
	for i, t := range list {
		views[i] = threadView{t.Path, t.Label, ""}
		switch t.Readers {
		case connectors.Staff:
			views[i].Readers = "staff"
		case connectors.Public:
			views[i].Readers = "public"
		}
	}
	return views
}

func (a *app) printSchema(s *connectors.Schema) error {
	t := report.Table{Head: []string{"PATH", "TYPE", "LABEL", "MAX", "NOTES", "CHOICES"}}
	for _, f := range s.Fields {
		var notes []string
		for _, n := range []struct {
			is   bool
			says string
		}{
			{f.Path == s.Key, "key"}, {f.Path == s.Label, "label"}, {f.ReadOnly, "read-only"}, {f.Once, "set once"}, {f.Required, "required"},
			{f.Append, "adds entries"}, {f.Reference != "", "to " + f.Reference},
		} {
			if n.is {
				notes = append(notes, n.says)
			}
		}
		kind := f.Type.String()
		if f.Native != "" && f.Native != kind {
			kind += " (" + f.Native + ")"
		}
		limit := ""
		if f.MaxLength > 0 {
			limit = strconv.Itoa(f.MaxLength)
		}
		t.Row(f.Path, kind, f.Label, limit, strings.Join(notes, ", "), choices(f))
	}
	if err := t.Print(a.out, a.style); err != nil {
		return err
	}
	for _, beside := range besides(s) {
		a.say("It has %s under %s.", beside.what, strings.Join(beside.where, ", "))
	}
	if s.Open {
		a.say("There may be other fields that this user cannot see described.")
	}
	return nil
}

// someChoices is how many choices fit on a line; --json has all.
const someChoices = 8

func choices(f connectors.Field) string {
	var shown []string
	for i, c := range f.Choices {
		if i == someChoices {
			shown = append(shown, fmt.Sprintf("… %d more", len(f.Choices)-i))
			break
		}
		text := c.Value.Plain()
		if c.Label != "" && c.Label != text {
			text += " " + c.Label
		}
		shown = append(shown, text)
	}
	return strings.Join(shown, ", ")
}

// named finds a connection by its name.
func (p *project) named(name string) (*mapping.Connection, error) {
	if c, ok := p.Connection(name); ok {
		return c, nil
	}
	return nil, hinted{fmt.Errorf("there is no connection %q in %s", name, p.Dir), "its connections are: " + strings.Join(connectionNames(p.Config), ", ")}
}

func connectionNames(c *mapping.Config) []string {
	var names []string
	for _, n := range c.Connections {
		names = append(names, n.Name)
	}
	return names
}

func (a *app) completeConnections(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, _, err := a.parse()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return connectionNames(cfg), cobra.ShellCompDirectiveNoFileComp
}

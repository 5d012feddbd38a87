package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/spf13/cobra"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/all"
	"github.com/fieldsync/fieldsync/connectors/rest"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

func (a *app) initCmd() *cobra.Command {
	var match string
	c := &cobra.Command{
		Use:   "init [SIDE=SYSTEM,SETTING=VALUE,… SIDE=SYSTEM,…]",
		Short: "write a commented starter mapping for two systems",
		Long: `Asks both systems for their fields and writes a mapping to start from: the connections,
and a sync whose rules are proposed from names, labels and choices, each with the reason.
Look through it, then preview it with fieldsync plan. Nothing is written to the systems,
and no file that exists is touched.

Each side has a name, a kind of system, and settings: url, dsn, driver, path, collection,
key, username, password, token and whatever else its connection block takes. A kind of
system is also a tool that a description is shipped for (redmine, rt, jira, …), or rest
with system=FILE, a description of your own; what a description asks for are settings,
too. A credential is never written into a file: say where it comes from, env:NAME or
file:PATH. On a terminal what is missing is asked for.`,
		Example: `  fieldsync init
  fieldsync init ticket=sql,dsn=helpdesk.db,collection=tickets \
                 incident=servicenow,url=https://acme.service-now.com,collection=incident
  fieldsync init issue=redmine,url=https://redmine.example.com,project=noc \
                 incident=servicenow,url=https://acme.service-now.com
  fieldsync init ticket=file,path=tickets.csv case=sql,dsn=crm.db,collection=cases --match id=ref -d my-mappings`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return project.Hinted(fmt.Errorf("two sides are needed, and %d are named", len(args)), "write SIDE=SYSTEM,SETTING=VALUE twice, or nothing to be asked")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			s := &starter{app: a, dir: a.dir, match: match}
			if s.dir == "" {
				s.dir = "mappings"
			}
			if err := s.free(); err != nil {
				return err
			}
			if len(args) == 0 && !a.ask {
				return project.Hinted(errors.New("which two systems?"), "name them, as fieldsync init --help shows; on a terminal they are asked for")
			}
			for i := range s.sides {
				spec := ""
				if len(args) == 2 {
					spec = args[i]
				}
				side, err := a.starterSide(i, spec)
				if err != nil {
					return err
				}
				s.sides[i] = side
			}
			return s.write(c.Context())
		},
	}
	c.Flags().StringVar(&match, "match", "", "the paths that carry the same value on both records, `LEFT=RIGHT` (default: the likeliest)")
	return c
}

// A starter is a mapping in the making.
type starter struct {
	app   *app
	dir   string
	match string // LEFT=RIGHT, or "" to find out
	sides [2]*starterSide
}

// A starterSide is one system as a person names it.
type starterSide struct {
	name, kind, collection string
	set                    map[string]string
	tool                   *described // of the kind rest
	conn                   string     // name of its connection
	col                    connectors.Collection
	schema                 *connectors.Schema
}

// A question is one setting of a kind of system.
type question struct {
	setting, text, standard string
	optional                bool
}

var questions = map[string][]question{
	"file":       {{"path", "path of the file (CSV, NDJSON or JSON)", "", false}, {"key", "its column or member that is the key", "id", false}},
	"dataminer":  {{"url", "address of the system", "", false}, {"username", "user", "env:NOC_USER", false}, {"password", "password", "env:NOC_PASSWORD", false}, {"collection", "collection", "elements", false}},
	"servicenow": {{"url", "address of the instance", "", false}, {"username", "user", "env:SNOW_USER", false}, {"password", "password", "env:SNOW_PASSWORD", false}, {"collection", "table", "incident", false}},
	"sql":        {{"dsn", "database file or address", "", false}, {"collection", "table", "", false}},
	"":           {{"url", "address", "", false}, {"collection", "collection", "", false}},
}

// Settings that stand in blocks of their own.
var (
	authSettings       = []string{"username", "password", "key_secret", "token", "client_id", "client_secret"}
	secretSettings     = []string{"password", "token", "client_secret", "key_secret", "key"}
	collectionSettings = []string{"table", "key", "modified", "label", "author", "deleted"}
)

// starterSide reads a side's specification, and asks for what it lacks where somebody can answer.
func (a *app) starterSide(i int, spec string) (*starterSide, error) {
	s := &starterSide{set: map[string]string{}}
	head, settings, _ := strings.Cut(spec, ",")
	s.name, s.kind, _ = strings.Cut(head, "=")
	kinds := all.Registry()
	names := slices.AppendSeq(rest.Shipped(), maps.Keys(kinds))
	slices.Sort(names)
	standard := [2]string{"ticket", "incident"}[i]
	if spec == "" {
		s.name = a.question(fmt.Sprintf("Name of the %s side, as rules call it", [2]string{"first", "second"}[i]), standard)
		s.kind = a.question("Kind of system ("+strings.Join(names, ", ")+")", [2]string{"sql", "servicenow"}[i])
	}
	switch {
	case !hclsyntax.ValidIdentifier(s.name) || strings.Contains(s.name, "-"):
		return nil, project.Hinted(fmt.Errorf("%q is no name for a side", s.name), "write it as "+standard+"="+names[0]+",…")
	case !slices.Contains(names, s.kind):
		hint := "the kinds are " + strings.Join(names, ", ")
		if near := connectors.Nearest(s.kind, names); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		return nil, project.Hinted(fmt.Errorf("%s: there is no kind of system %q", s.name, s.kind), hint)
	}
	for _, pair := range strings.FieldsFunc(settings, func(r rune) bool { return r == ',' }) {
		k, v, ok := strings.Cut(pair, "=")
		if !ok || !hclsyntax.ValidIdentifier(k) || v == "" {
			return nil, project.Hinted(fmt.Errorf("%s: %q is not SETTING=VALUE", s.name, pair), "write for example dsn=helpdesk.db")
		}
		s.set[k] = v
	}
	if err := s.complete(a, spec == ""); err != nil {
		return nil, err
	}
	for _, k := range secretSettings {
		if k == "key" && s.tool == nil {
			continue // of a table or file, it names a column
		}
		if v := s.set[k]; v != "" && !strings.HasPrefix(v, "env:") && !strings.HasPrefix(v, "file:") {
			return nil, project.Hinted(fmt.Errorf("%s: %s would stand in a file for everybody to read", s.name, k), "say where it comes from: "+k+"=env:NAME or "+k+"=file:PATH")
		}
	}
	s.collection = s.set["collection"]
	delete(s.set, "collection")
	if s.collection == "" {
		base := filepath.Base(s.set["path"])
		s.collection = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return s, nil
}

// complete finds out what the settings lack.
func (s *starterSide) complete(a *app, asks bool) error {
	if slices.Contains(rest.Shipped(), s.kind) {
		s.kind, s.set["system"] = "rest", s.kind
	}
	if s.kind == "rest" {
		return s.describeTool(a, asks)
	}
	list, known := questions[s.kind]
	if !known {
		list = questions[""]
	}
	return s.answer(a, asks, list)
}

// answer takes what the settings lack from a person, or else what is usual.
func (s *starterSide) answer(a *app, asks bool, list []question) error {
	for _, q := range list {
		if s.set[q.setting] != "" {
			continue
		}
		answer := q.standard
		if asks {
			answer = a.question(s.kind+": "+q.text, q.standard)
		}
		switch {
		case answer != "":
			s.set[q.setting] = answer
		case !q.optional:
			return project.Hinted(fmt.Errorf("%s: %s is missing: %s", s.name, q.setting, q.text), fmt.Sprintf("add %s=… to %s=%s", q.setting, s.name, s.kind))
		}
	}
	return nil
}

// question asks one thing on the terminal; an empty answer takes what is suggested.
func (a *app) question(text, standard string) string {
	if standard != "" {
		text += " [" + standard + "]"
	}
	fmt.Fprintf(a.err, "%s: ", text)
	a.err.Flush()
	line, _ := a.in.ReadString('\n')
	if line = strings.TrimSpace(line); line != "" {
		return line
	}
	return standard
}

// free refuses a folder that has a mapping already.
func (s *starter) free() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".hcl" {
			return project.Hinted(fmt.Errorf("there is a mapping in %s already: %s", s.dir, e.Name()), "name another folder: fieldsync init -d DIR")
		}
	}
	return nil
}

// write asks both systems, and writes the files only when all of it is right.
func (s *starter) write(ctx context.Context) error {
	for i, side := range s.sides {
		for _, k := range []string{"dsn", "path", "system"} { // people mean files from where they stand, mappings from where they lie
			if k == "system" && !strings.ContainsAny(side.set[k], `/\.`) {
				continue // a shipped description
			}
			if v := side.set[k]; v != "" && !strings.Contains(v, ":") && !filepath.IsAbs(v) {
				if rel, err := filepath.Rel(s.dir, v); err == nil {
					side.set[k] = filepath.ToSlash(rel)
				}
			}
		}
		side.conn = side.collection
		if side.tool != nil {
			side.conn = side.tool.name
		}
		if !hclsyntax.ValidIdentifier(side.conn) || i == 1 && s.sides[0].conn == side.conn {
			side.conn = side.name + "_system"
		}
	}
	if s.sides[0].name == s.sides[1].name {
		return project.Hinted(fmt.Errorf("both sides are called %s", s.sides[0].name), "give them two names: rules tell them apart by it")
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	files := map[string][]byte{filepath.Join(s.dir, "connections.hcl"): s.connections()}
	p, err := s.load(files)
	if err != nil {
		return err
	}
	defer p.Close()
	for _, side := range s.sides {
		if err := side.describe(ctx, p); err != nil {
			return err
		}
	}
	name := s.sides[0].name + "_to_" + s.sides[1].name
	file := filepath.Join(s.dir, name+".hcl")
	d, err := s.draft(name)
	if err != nil {
		return err
	}
	// A proposal that the mapping itself refuses is left to the person, as a comment.
	for range len(d.rules) + 1 {
		files[file] = mapping.Format(d.text())
		cfg, diags := mapping.Parse(files, s.dir, s.app.mappingOptions())
		if sync, ok := cfg.Sync(name); ok && !diags.HasErrors() {
			_, more := cfg.Compile(sync, [2]*connectors.Schema{s.sides[0].schema, s.sides[1].schema})
			diags = append(diags, more...)
		}
		wrong := project.Mistakes(diags)
		if len(wrong) == 0 {
			return s.keep(files, name, d)
		}
		if !d.doubt(wrong[0], files[file]) {
			return project.Diagnosed{Files: cfg.Files, Diags: diags}
		}
	}
	return errors.New("no rule that was proposed can stand")
}

// keep writes the files, none over another.
func (s *starter) keep(files map[string][]byte, name string, d *draft) error {
	var made []string
	for path := range files {
		made = append(made, path)
	}
	slices.Sort(made)
	for _, path := range made {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(files[path])
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if s.app.json {
		return report.JSON(s.app.out, map[string]any{"files": made, "sync": name, "fields": d.count()})
	}
	for _, path := range made {
		s.app.say("wrote %s", filepath.ToSlash(path))
	}
	s.app.say("%s proposed for sync %s. Look through them, then:", project.Plural(d.count(), "rule"), name)
	dir := ""
	if s.app.dir != "" {
		dir = " -d " + s.app.dir
	}
	s.app.say("  fieldsync check%s", dir)
	s.app.say("  fieldsync plan%s", dir)
	return nil
}

// load opens the connections as if their file were written.
func (s *starter) load(files map[string][]byte) (*project.Project, error) {
	cfg, diags := mapping.Parse(files, s.dir, s.app.mappingOptions())
	for _, c := range cfg.Connections {
		s.app.out.Secrets.Add(c.Secrets...)
	}
	if diags.HasErrors() {
		return nil, project.Diagnosed{Files: cfg.Files, Diags: diags}
	}
	return s.app.project(cfg)
}

func (a *app) mappingOptions() mapping.Options {
	return mapping.Options{Registry: all.Registry(), Getenv: a.getenv}
}

// describe opens the collection and asks for its fields.
func (side *starterSide) describe(ctx context.Context, p *project.Project) error {
	conn, _ := p.Connection(side.conn)
	e, err := p.End(ctx, mapping.Side{Name: side.name, Connection: conn, Collection: side.collection})
	if err != nil {
		return err
	}
	if e.Schema == nil || len(e.Schema.Fields) == 0 {
		return project.Hinted(fmt.Errorf("%s does not describe the fields of %s", side.kind, side.collection), "write the mapping by hand: mappings/README.md describes the language")
	}
	// What is found out below is for the proposals alone.
	schema := *e.Schema
	schema.Fields = slices.Clone(schema.Fields)
	side.col, side.schema = e.Col, &schema
	return side.values(ctx)
}

// values gives fields that stand for few different things, and of which the system does not list them, the values that
// their first records show as choices.
func (side *starterSide) values(ctx context.Context) error {
	const records, most, longest = 500, 12, 30
	var slots []int
	var paths []string
	for i, f := range side.schema.Fields {
		if mapping.Enumerates(f.Path) && len(f.Choices) == 0 && f.Reference == "" {
			slots, paths = append(slots, i), append(paths, f.Path)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	seen, n := make([][]record.Value, len(paths)), 0
	_, err := side.col.Scan(ctx, connectors.Query{Paths: paths}, func(rec record.Record) error {
		for i, v := range rec.Clone().Values {
			if v.Known() && !v.Empty() && !slices.Contains(seen[i], v) && len(seen[i]) <= most {
				seen[i] = append(seen[i], v)
			}
		}
		if n++; n == records {
			return project.ErrEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, project.ErrEnough) {
		return err
	}
	for i, slot := range slots {
		if len(seen[i]) == 0 || len(seen[i]) > most || slices.ContainsFunc(seen[i], func(v record.Value) bool { return len(v.Plain()) > longest }) {
			continue
		}
		slices.SortFunc(seen[i], func(a, b record.Value) int { return strings.Compare(a.Plain(), b.Plain()) })
		for _, v := range seen[i] {
			side.schema.Fields[slot].Choices = append(side.schema.Fields[slot].Choices, connectors.Choice{Value: v})
		}
	}
	return nil
}

// doubt turns the rule that a message is about into a comment; false if it is about no rule.
func (d *draft) doubt(m *hcl.Diagnostic, src []byte) bool {
	if m.Subject == nil || filepath.Base(m.Subject.Filename) != d.name+".hcl" {
		return false
	}
	lines := strings.Split(string(src), "\n")
	for i := min(m.Subject.Start.Line, len(lines)) - 1; i >= 0; i-- {
		for _, r := range d.rules {
			if r.wrong == "" && (strings.HasPrefix(strings.TrimSpace(lines[i]), fmt.Sprintf("field %q", r.Name)) || strings.HasPrefix(lines[i], fmt.Sprintf("translation %q", r.Name))) {
				r.wrong = m.Summary + ": " + strings.ReplaceAll(m.Detail, "\n", " ")
				return true
			}
		}
	}
	return false
}

package connectortest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Live collection is held to the contract without go test: one of any connector that is written for it, in any language,
// in a system that runs. It is empty at first, and is emptied after each check. A second connection plays the person.
type Live struct {
	Open       func() (connectors.Connection, error) // anew each time
	Collection string
	Marker     string // path of text that creates are found by; "": a text field that its schema offers
	Text       string // another one, of free text
}

// A Result is what came of one check.
type Result struct {
	Check   string
	Failed  []string // nothing: it holds
	Skipped string   // why it was not made
}

// patience is how long one check may take.
const patience = 2 * time.Minute

// Run makes every check that the collection's abilities ask for, and hands on each result as it comes. The error is for a
// collection that cannot be checked.
func (l Live) Run(ctx context.Context, each func(Result)) error {
	var conns [2]connectors.Connection
	var cols [2]connectors.Collection
	for i := range conns {
		conn, err := l.Open()
		if err != nil {
			return err
		}
		defer conn.Close() // twice is once; what it says the last check hears
		conns[i] = conn
		if cols[i], err = conn.Collection(ctx, l.Collection); err != nil {
			return err
		}
	}
	p, err := l.person(ctx, cols[1])
	if err != nil {
		return err
	}
	s, err := p.suite(ctx, cols[0])
	if err != nil {
		return err
	}
	for _, c := range s.checks() {
		if c.skip {
			each(Result{Check: c.name, Skipped: "the collection does not say that it can do this"})
			continue
		}
		pr := &probe{}
		pr.ctx, pr.cancel = context.WithTimeout(ctx, patience)
		b := &bench{T: pr, Suite: s.whole(), Collection: cols[0], Connection: conns[0], add: p.add(pr), edit: p.edit(pr), remove: p.remove(pr)}
		done := make(chan struct{})
		go func() { // a check that gives up ends its goroutine
			defer close(done)
			c.run(b)
		}()
		<-done
		pr.cancel()
		each(Result{Check: c.name, Failed: pr.failed, Skipped: pr.skipped})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := p.clean(ctx); err != nil {
			return fmt.Errorf("after the check %q: %w", c.name, err)
		}
	}
	return nil
}

// A person changes the collection behind the back of the connection that is checked.
type person struct {
	connectors.Collection
	creator connectors.Creator
	updater connectors.Updater
	deleter connectors.Deleter
	schema  *connectors.Schema
	fields  []connectors.Field // that samples have
	marker  string
	text    string
	mark    string // begins the marker of every sample
}

func (l Live) person(ctx context.Context, c connectors.Collection) (*person, error) {
	op := "check " + l.Collection
	wrong := func(detail, hint string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: detail, Hint: hint}
	}
	p := &person{Collection: c}
	var can [4]bool
	p.creator, can[0] = connectors.As[connectors.Creator](c)
	p.updater, can[1] = connectors.As[connectors.Updater](c)
	p.deleter, can[2] = connectors.As[connectors.Deleter](c)
	_, can[3] = connectors.As[connectors.Finder](c)
	if can != [4]bool{true, true, true, true} {
		return nil, wrong("it cannot be created in, updated, deleted from and searched", "the suite plays both sides: check a collection that can do all of this; one that is only read is proved in go test, with connectortest.Run")
	}
	d, ok := connectors.As[connectors.Describer](c)
	if !ok {
		return nil, wrong("it does not describe its fields", "the suite makes up records by their description")
	}
	var err error
	if p.schema, err = d.Describe(ctx); err != nil {
		return nil, err
	}
	for _, f := range p.schema.Fields {
		free := f.Type.Kind == record.Text && f.Type.Layout == "" && len(f.Choices) == 0 && !f.Once && (f.MaxLength == 0 || f.MaxLength >= 64)
		switch {
		case f.ReadOnly || f.Append || f.Reference != "" && !f.Required:
			continue
		case f.Path == l.Marker && l.Marker != "" || f.Path == l.Text && l.Text != "":
		case free && p.marker == "" && l.Marker == "" && (l.Text != "" || p.text != ""):
			p.marker = f.Path
		case free && p.text == "" && l.Text == "":
			p.text = f.Path
		}
		if _, ok := value(f, 0); ok {
			p.fields = append(p.fields, f)
		} else if f.Required {
			return nil, wrong(fmt.Sprintf("a new record needs %s, a %s, of which no sample can be made", f.Path, f.Type), "")
		}
	}
	p.marker, p.text = cmp.Or(l.Marker, p.marker), cmp.Or(l.Text, p.text)
	for _, path := range []string{p.marker, p.text} {
		if !slices.ContainsFunc(p.fields, func(f connectors.Field) bool { return f.Path == path && f.Type.Kind == record.Text }) {
			return nil, wrong(fmt.Sprintf("there are no two fields of text that can be written, for markers and for anything (%q, %q)", p.marker, p.text), "name them with --marker and --text")
		}
	}
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	p.mark = connectors.TestMark + hex.EncodeToString(random) + "-"
	_, err = c.Scan(ctx, connectors.Query{Paths: []string{p.marker}}, func(r record.Record) error {
		return wrong(fmt.Sprintf("it is not empty: there is %s", r.Name()), "name an empty collection: the suite makes, changes and deletes records in it")
	})
	return p, err
}

// value is sample i of a field; false for those that samples do without.
func value(f connectors.Field, i int) (record.Value, bool) {
	if len(f.Choices) > 0 {
		return f.Choices[i%len(f.Choices)].Value, true
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Minute)
	switch f.Type.Kind {
	case record.Text:
		text := fmt.Sprintf("sample %d", i)
		if f.Type.Layout != "" {
			text = at.Format(f.Type.Layout)
		}
		return record.OfText(text), f.MaxLength == 0 || len(text) <= f.MaxLength
	case record.Int:
		return record.OfInt(int64(i)), true
	case record.Float:
		return record.OfFloat(float64(i) + 0.25), true
	case record.Bool:
		return record.OfBool(i%2 == 0), true
	case record.Time:
		return record.OfTime(at), true
	case record.List:
		return record.OfList([]record.Value{record.OfText("a"), record.OfText(fmt.Sprint(i))}), true
	}
	return record.Value{}, false
}

func (p *person) sample(i int) record.Fields {
	f := record.Fields{}
	for _, field := range p.fields {
		f[field.Path], _ = value(field, i)
	}
	f[p.marker] = record.OfText(fmt.Sprintf("%s%d", p.mark, i))
	return f
}

// suite is what the abilities of the collection ask for.
func (p *person) suite(ctx context.Context, c connectors.Collection) (Suite, error) {
	s := Suite{Sample: p.sample, Marker: p.marker, Text: p.text}
	for _, f := range p.fields {
		s.Paths = append(s.Paths, f.Path)
	}
	if !slices.Contains(s.Paths, p.schema.Key) {
		s.Paths = append(s.Paths, p.schema.Key)
	}
	if f, ok := p.schema.Field(p.schema.Key); ok && f.Type.Kind == record.Int {
		s.Missing = func(i int) string { return fmt.Sprint(1_000_000_000 + i) }
	}
	if cond, ok := connectors.As[connectors.Conditional](c); ok {
		s.Conditional = cond.Conditional()
	}
	_, chronicles := connectors.As[connectors.Chronicler](c)
	s.Chronicle = chronicles && !s.Conditional
	if _, ok := connectors.As[connectors.Commenter](c); ok && len(p.schema.Threads) > 0 {
		s.Thread = p.schema.Threads[0].Path
		_, edits := connectors.As[connectors.CommentEditor](c)
		s.Edits = edits && p.schema.Threads[0].Editable
	}
	if _, ok := connectors.As[connectors.Attacher](c); ok && len(p.schema.Files) > 0 {
		s.Files = p.schema.Files[0].Path
	}
	w, err := c.Scan(ctx, connectors.Query{Paths: s.Paths}, func(record.Record) error { return nil })
	if err != nil {
		return s, err
	}
	s.Incremental = w.Next != ""
	r, err := p.creator.Create(ctx, s.Paths, p.sample(0))
	if err != nil {
		return s, fmt.Errorf("make a first record: %w", err)
	}
	s.NoVersion = r.Version == ""
	return s, p.clean(ctx)
}

func (p *person) add(t T) func(record.Fields) string {
	return func(f record.Fields) string {
		r, err := p.creator.Create(t.Context(), []string{p.marker}, f)
		if err != nil {
			t.Fatalf("the other connection cannot create: %v", err)
		}
		return strings.Clone(r.Key)
	}
}

func (p *person) edit(t T) func(string, record.Fields) {
	return func(key string, f record.Fields) {
		if _, err := p.updater.Update(t.Context(), []string{p.marker}, key, "", f); err != nil {
			t.Fatalf("the other connection cannot update %s: %v", key, err)
		}
	}
}

func (p *person) remove(t T) func(string) {
	return func(key string) {
		if err := p.deleter.Delete(t.Context(), key, ""); err != nil {
			t.Fatalf("the other connection cannot delete %s: %v", key, err)
		}
	}
}

// clean deletes what checks have made. A record of somebody else's is never deleted: that it is there ends the suite.
func (p *person) clean(ctx context.Context) error {
	var keys []string
	var foreign error
	_, err := p.Scan(ctx, connectors.Query{Paths: []string{p.marker}}, func(r record.Record) error {
		if m := r.Values[0].Text(); !strings.HasPrefix(m, p.mark) && !special(m) {
			foreign = &connectors.Error{Kind: connectors.ErrConfig, Op: "check", Detail: fmt.Sprintf("record %s was not made by the suite", r.Name()), Hint: "name a collection that nobody else writes to"}
			return nil
		}
		keys = append(keys, strings.Clone(r.Key))
		return nil
	})
	for _, key := range keys {
		if err == nil {
			err = p.deleter.Delete(ctx, key, "")
		}
	}
	return errors.Join(err, foreign)
}

// special reports whether a marker is one of those that query languages misread.
func special(marker string) bool {
	for _, s := range specials {
		if marker == s.marker || marker == s.decoy {
			return true
		}
	}
	return false
}

// A probe is a T outside of go test.
type probe struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	failed  []string
	skipped string
}

func (p *probe) Helper() {}

func (p *probe) Context() context.Context { return p.ctx }

func (p *probe) fail(text string) {
	const most = 5 // of one check; the rest is more of the same
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.failed) < most {
		p.failed = append(p.failed, strings.TrimSpace(text))
	}
}

func (p *probe) Error(args ...any)                 { p.fail(fmt.Sprintln(args...)) }
func (p *probe) Errorf(format string, args ...any) { p.fail(fmt.Sprintf(format, args...)) }
func (p *probe) Logf(string, ...any)               {}

func (p *probe) Fatal(args ...any) {
	p.Error(args...)
	runtime.Goexit()
}

func (p *probe) Fatalf(format string, args ...any) {
	p.Errorf(format, args...)
	runtime.Goexit()
}

func (p *probe) Skip(args ...any) {
	p.mu.Lock()
	p.skipped = strings.TrimSpace(fmt.Sprintln(args...))
	p.mu.Unlock()
	runtime.Goexit()
}

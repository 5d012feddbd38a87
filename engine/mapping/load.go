package mapping

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

// maxFile is more than any file written by hand, and keeps a wrong path (/dev/zero) from filling the memory.
const maxFile = 16 << 20

// Load reads every *.hcl file of dir (not of its subfolders). What was understood is returned beside the
// diagnostics, also when some of them are errors.
func Load(dir string, o Options) (*Config, hcl.Diagnostics) {
	empty := func(d *hcl.Diagnostic) (*Config, hcl.Diagnostics) {
		return &Config{Dir: dir, Files: map[string]*hcl.File{}}, hcl.Diagnostics{d}
	}
	entries, err := os.ReadDir(dir)
	switch {
	case os.IsNotExist(err):
		return empty(general("No mapping directory", "There is no directory %q. Name the one that holds your *.hcl files with -d DIR.", dir))
	case errors.Is(err, syscall.ENOTDIR):
		return empty(general("Not a directory", "%q is a file. Name the directory that holds your *.hcl files with -d DIR; all of them are one mapping.", dir))
	case err != nil:
		return empty(general("Mapping directory cannot be read", "%v. Check the permissions, or name another directory with -d DIR.", err))
	}
	files := map[string][]byte{}
	var diags hcl.Diagnostics
	for _, e := range entries {
		// Editors keep their lock and backup files beside the original, with a dot in front.
		if filepath.Ext(e.Name()) != ".hcl" || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := filepath.Join(dir, e.Name())
		src, err := readRegular(name)
		if err != nil {
			diags = append(diags, general("File cannot be read", "%v. Check its permissions, or move it out of the directory.", err))
			continue
		}
		files[name] = src
	}
	if len(files) == 0 && !diags.HasErrors() {
		return empty(general("No mapping files", "The directory %q has no *.hcl files. Put your mapping there, or name another directory with -d DIR.", dir))
	}
	c, more := Parse(files, dir, o)
	return c, append(diags, more...)
}

// readRegular reads a whole file of sensible size.
func readRegular(name string) ([]byte, error) {
	// A look comes before the opening, which would wait for ever for the other end of a pipe.
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it is not a file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(src) > maxFile {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it is larger than 16 MiB")}
	}
	return src, err
}

// A loader collects what the files say. Its methods report into diags and go on.
type loader struct {
	o         Options
	cfg       *Config
	diags     hcl.Diagnostics
	ctx       *hcl.EvalContext
	missing   []string            // environment variables that evaluation asked for in vain
	tainted   map[string][]string // local → environment variables that it lacks
	vars      map[string]cty.Value
	locals    map[string]cty.Value
	functions []expression.Function
	sources   map[string]string // function → what its result says, for the digest
}

func (l *loader) add(d ...*hcl.Diagnostic) { l.diags = append(l.diags, d...) }

func (l *loader) fail(at hcl.Range, summary, detail string, args ...any) {
	l.add(fail(at, summary, detail, args...))
}

var topSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "fieldsync"},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "locals"},
	{Type: "function", LabelNames: []string{"name"}},
	{Type: "connection", LabelNames: []string{"type", "name"}},
	{Type: "translation", LabelNames: []string{"name"}},
	{Type: "sync", LabelNames: []string{"name"}},
	{Type: "test", LabelNames: []string{"name"}},
	{Type: "notify", LabelNames: []string{"kind", "name"}},
	{Type: "serve"},
}}

// Parse understands files (by the name that diagnostics show) as one configuration in dir.
func Parse(files map[string][]byte, dir string, o Options) (*Config, hcl.Diagnostics) {
	if o.Getenv == nil {
		o.Getenv = func(string) (string, bool) { return "", false }
	}
	l := &loader{
		o:       o,
		cfg:     &Config{Dir: dir, Files: map[string]*hcl.File{}},
		tainted: map[string][]string{},
		sources: map[string]string{},
	}
	digest := sha256.New()
	var blocks hcl.Blocks
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(digest, "%s %d\n", filepath.Base(name), len(files[name]))
		digest.Write(files[name])
		f, diags := hclsyntax.ParseConfig(files[name], name, hcl.InitialPos)
		l.add(diags...)
		if f == nil || f.Body == nil {
			continue
		}
		l.cfg.Files[name] = f
		if l.absurd(f.Body) || l.astray(f.Body) {
			continue
		}
		content, diags := f.Body.Content(topSchema)
		l.add(diags...)
		if content != nil {
			blocks = append(blocks, content.Blocks...)
		}
	}
	// Half a block makes every reference to its other half look wrong, so those messages are kept back.
	broken := l.diags.HasErrors()
	syntax := l.diags

	by := blocks.ByType()
	l.ctx = l.context(nil)
	l.variables(by["variable"])
	l.localValues(by["locals"])
	l.functionBlocks(by["function"])
	l.add(expression.Check(l.ctx, expression.Scope{Locals: l.plainLocals(), Functions: l.functions})...)
	l.settings(by["fieldsync"])
	l.connections(by["connection"])
	l.translations(by["translation"])
	l.syncs(by["sync"])
	l.cfg.locals, l.cfg.functions, l.cfg.sources, l.cfg.ctx = l.plainLocals(), l.functions, l.sources, l.ctx
	for _, s := range l.cfg.Syncs {
		_, plan, diags := l.cfg.compile(s, [2]*schema{}, forTest)
		l.add(diags...)
		s.body.broken = s.body.broken || diags.HasErrors()
		if plan != nil {
			s.Paths, s.Writes = plan.paths, plan.writes
		}
	}
	l.tests(by["test"])
	l.notifies(by["notify"])
	l.serve(by["serve"])
	l.checkTests()
	for _, name := range l.cfg.Inputs {
		if src, err := readRegular(name); err == nil {
			fmt.Fprintf(digest, "%s %d\n", filepath.Base(name), len(src))
			digest.Write(src)
		}
	}
	l.cfg.Digest = hex.EncodeToString(digest.Sum(nil))
	if broken {
		return l.cfg, syntax
	}
	return l.cfg, sorted(l.diags)
}

// astray reports a file that describes a tool: those lie in a folder of their own, since all files here are the mapping.
func (l *loader) astray(body hcl.Body) bool {
	b, ok := body.(*hclsyntax.Body)
	if !ok {
		return false
	}
	i := slices.IndexFunc(b.Blocks, func(b *hclsyntax.Block) bool {
		return b.Type == "collection" || b.Type == "login" || b.Type == "setting"
	})
	if i < 0 {
		return false
	}
	at := b.Blocks[i].DefRange()
	name := filepath.Base(at.Filename)
	l.fail(at, "Description of a tool among the mapping files", "All *.hcl files of this folder are read as one mapping, and this one describes a tool. Move it into a folder below, and name it in the connection: system = \"systems/%s\".", name)
	return true
}

// absurd reports numbers that no system holds: written out they would fill the memory.
func (l *loader) absurd(body hcl.Body) bool {
	b, ok := body.(*hclsyntax.Body)
	if !ok {
		return false
	}
	found := false
	_ = hclsyntax.VisitAll(b, func(n hclsyntax.Node) hcl.Diagnostics {
		lit, ok := n.(*hclsyntax.LiteralValueExpr)
		if !ok || lit.Val.Type() != cty.Number || lit.Val.IsNull() || !lit.Val.IsKnown() {
			return nil
		}
		if e := lit.Val.AsBigFloat().MantExp(nil); e > 1024 || e < -1100 || lit.Val.AsBigFloat().IsInf() {
			l.fail(lit.SrcRange, "Number out of range", "No system holds a number of this size. Write it as text, in double quotes, if it is one.")
			found = true
		}
		return nil
	})
	return found
}

// sorted puts diags in the order of the files, each once.
func sorted(diags hcl.Diagnostics) hcl.Diagnostics {
	place := func(d *hcl.Diagnostic) (string, int) {
		if d.Subject == nil {
			return "", 0
		}
		return d.Subject.Filename, d.Subject.Start.Byte
	}
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int {
		fa, ba := place(a)
		fb, bb := place(b)
		return cmp.Or(strings.Compare(fa, fb), ba-bb)
	})
	return slices.CompactFunc(diags, func(a, b *hcl.Diagnostic) bool {
		return a.Severity == b.Severity && a.Summary == b.Summary && a.Detail == b.Detail &&
			a.Subject != nil && b.Subject != nil && *a.Subject == *b.Subject
	})
}

// Sync returns the sync of this name.
func (c *Config) Sync(name string) (*Sync, bool) {
	i := slices.IndexFunc(c.Syncs, func(s *Sync) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return c.Syncs[i], true
}

// Connection returns the connection of this name.
func (c *Config) Connection(name string) (*Connection, bool) {
	i := slices.IndexFunc(c.Connections, func(n *Connection) bool { return n.Name == name })
	if i < 0 {
		return nil, false
	}
	return c.Connections[i], true
}

// Format lays src out in the canonical way.
func Format(src []byte) []byte { return hclwrite.Format(src) }

var settingsSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "state"}, {Name: "listen"}, {Name: "history"}}, Blocks: []hcl.BlockHeaderSchema{{Type: "backup"}}}

func (l *loader) settings(blocks hcl.Blocks) {
	set := &l.cfg.Settings
	*set = Settings{State: filepath.Join(l.cfg.Dir, "fieldsync.db"), Listen: "127.0.0.1:8440", History: defaultHistory}
	for i, b := range blocks {
		if i > 0 {
			l.fail(b.DefRange, "Second fieldsync block", "The settings stand at %s already. Put both into one block.", at(blocks[0].DefRange))
			continue
		}
		content, diags := b.Body.Content(settingsSchema)
		l.add(diags...)
		if content == nil {
			continue
		}
		l.backup(content.Blocks)
		if a := content.Attributes["state"]; a != nil {
			if s, ok := l.text(a.Expr); ok {
				set.State = l.path(s)
			}
		}
		if a := content.Attributes["history"]; a != nil {
			if d, ok := l.days(a.Expr); ok {
				set.History = d
			}
		}
		if a := content.Attributes["listen"]; a != nil {
			s, ok := l.text(a.Expr)
			if !ok {
				continue
			}
			if _, _, err := net.SplitHostPort(s); err != nil {
				l.fail(a.Expr.Range(), "Not an address", "listen is HOST:PORT, such as \"127.0.0.1:8440\".")
				continue
			}
			set.Listen = s
		}
	}
}

// path makes a path of a mapping file one of the working directory. URLs stay as they are.
func (l *loader) path(s string) string {
	if strings.Contains(s, "://") || filepath.IsAbs(s) {
		return s
	}
	return filepath.Join(l.cfg.Dir, s)
}

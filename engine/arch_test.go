package engine_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/fieldsync/fieldsync"

// mayImport is who may import whom, by folder. "*" stands for one folder of a system under connectors; its
// simulator is "*/sim". Tests may import what they like. A folder that is not here has no place in the design yet.
var mayImport = map[string][]string{
	"engine/record":                    {},
	"engine/plan":                      {"engine/record"},
	"engine/reconcile":                 {"engine/plan", "engine/record"},
	"engine/schedule":                  {},
	"engine/cluster":                   {"engine", "engine/plan", "engine/record", "engine/schedule", "engine/state"},
	"engine/mapping/expression":        {"engine/record"},
	"engine/verify":                    {"engine/reconcile", "engine/record"},
	"engine/mapping":                   {"connectors", "engine/reconcile", "engine/record", "engine/schedule", "engine/access", "engine/mapping/expression", "engine/verify"}, // verify plays tests that expect promises
	"engine/state":                     {"connectors", "engine", "engine/plan", "engine/reconcile", "engine/record"},                                                          // connectors for Error and its hint
	"engine/state/storetest":           {"engine", "engine/plan", "engine/reconcile", "engine/record"},
	"engine/report":                    {"engine/plan", "engine/record"},
	"engine/access":                    {},
	"engine/console":                   {"engine", "engine/access", "engine/report", "engine/plan", "engine/record"},
	"engine/telemetry":                 {"engine", "engine/plan", "engine/record"},
	"engine/notify":                    {"engine/telemetry"},
	"engine":                           {"connectors", "engine/reconcile", "engine/plan", "engine/record"},
	"connectors":                       {"engine/record"},
	"connectors/*":                     {"connectors", "engine/record"},
	"connectors/*/sim":                 {"connectors", "engine/record"},
	"connectors/servertest":            {},
	"connectors/sql/sqltest":           {"connectors/servertest"},
	"connectors/rest/resttest":         {"connectors/servertest"},
	"connectors/rest":                  {"connectors", "engine/record", "engine/mapping/expression", "mappings"},                                       // descriptions are HCL with expr inside
	"connectors/plugin":                {"connectors", "connectors/guard", "connectors/plugin/protocol", "engine/record", "engine/mapping/expression"}, // the settings block is evaluated with the mapping
	"connectors/plugin/protocol":       {"connectors", "engine/record"},
	"connectors/plugin/serve":          {"connectors", "connectors/guard", "connectors/plugin/protocol", "engine/record"},
	"connectors/plugin/examples/shelf": {"connectors", "connectors/plugin/serve", "engine/record"},
	"connectors/all":                   {"connectors", "connectors/*", "connectors/rest", "connectors/plugin", "engine/record"},
	"mappings":                         {},
	"cmd/fieldsync/project":            {"**"},
	"cmd/fieldsync/service":            {"**"},
	"cmd/fieldsync":                    {"**"},
}

// pure packages decide; the same input gives the same answer on every machine and at every time.
var pure = []string{"engine/record", "engine/plan", "engine/reconcile", "engine/verify"}

// notPure are packages of the standard library through which the world gets in or out.
var notPure = []string{"context", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "net", "net/http", "os", "os/exec", "io/fs",
	"path/filepath", "sync", "sync/atomic", "runtime", "syscall", "database/sql", "unsafe"}

// clock are the functions of package time that read the clock, wait on it, or ask for the machine's zone.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"}

// libraries are the modules that only the named folders may use, so that each stays behind one wall.
var libraries = map[string][]string{
	"github.com/expr-lang/expr":      {"engine/mapping/expression"},
	"github.com/hashicorp/hcl/v2":    {"engine/mapping", "engine/mapping/expression", "connectors/rest", "connectors/plugin", "connectors/plugin/serve", "cmd/fieldsync", "cmd/fieldsync/project", "cmd/fieldsync/service"},
	"github.com/zclconf/go-cty":      {"engine/mapping", "engine/mapping/expression", "connectors/rest", "connectors/plugin", "cmd/fieldsync"},
	"github.com/hashicorp/go-plugin": {"connectors/plugin", "connectors/plugin/protocol", "connectors/plugin/serve"},
	"google.golang.org/":             {"connectors/plugin", "connectors/plugin/protocol", "connectors/plugin/serve"},
	"github.com/mattn/go-sqlite3":    {"engine/state", "connectors/sql", "cmd/fieldsync"},
	"github.com/go-sql-driver/":      {"connectors/sql", "connectors/sql/sqltest"},
	"github.com/jackc/pgx/":          {"connectors/sql", "connectors/sql/sqltest", "engine/state", "engine/cluster"},
	"github.com/riverqueue/":         {"engine/cluster"},
	"github.com/pressly/goose/v3":    {"engine/state"},
	"github.com/spf13/cobra":         {"cmd/fieldsync"},
	"github.com/jedib0t/go-pretty":   {"engine/report", "cmd/fieldsync"},
	"github.com/fsnotify/fsnotify":   {"cmd/fieldsync/service"},
	"github.com/robfig/cron/v3":      {"engine/schedule"},
	"github.com/chromedp/":           {}, // tests alone
	"github.com/getkin/":             {},
	"github.com/coreos/go-oidc":      {"engine/access"},
	"github.com/prometheus/":         {"engine/telemetry"},
	"go.opentelemetry.io/":           {"cmd/fieldsync/project", "cmd/fieldsync/service"},
	"github.com/wneessen/go-mail":    {"engine/notify"},
}

// kind is the key of dir in mayImport: its own name, or the pattern for a system's folder.
func kind(dir string) string {
	if _, ok := mayImport[dir]; ok {
		return dir
	}
	rest, ok := strings.CutPrefix(dir, "connectors/")
	switch {
	case !ok:
		return dir
	case strings.HasSuffix(rest, "/sim") && strings.Count(rest, "/") == 1:
		return "connectors/*/sim"
	case !strings.Contains(rest, "/"):
		return "connectors/*"
	}
	return dir
}

// sources calls do with every file of the program that is not a test, parsed as far as mode says. Reading the files
// here, and not through go list, makes the test's cache notice when one of them changes.
func sources(t *testing.T, mode parser.Mode, do func(dir, name string, set *token.FileSet, f *ast.File)) {
	t.Helper()
	root := ".."
	count := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		src, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's file that is gone again
		} else if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, rel, src, mode)
		if err != nil {
			return err
		}
		count++
		do(path.Dir(rel), rel, set, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Fatal("no sources found")
	}
}

func importsOf(t *testing.T, f *ast.File) []string {
	t.Helper()
	var list []string
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	sources(t, parser.ImportsOnly, func(dir, name string, _ *token.FileSet, f *ast.File) {
		allowed, known := mayImport[kind(dir)]
		if !known {
			t.Errorf("%s: the folder %s is not in the import table; decide who may import what and add it", name, dir)
			return
		}
		for _, p := range importsOf(t, f) {
			for library, users := range libraries {
				if strings.HasPrefix(p, library) && !slices.Contains(users, dir) {
					t.Errorf("%s imports %s, which only %s may", name, p, strings.Join(users, " and "))
				}
			}
			own, ok := strings.CutPrefix(p, module+"/")
			if !ok || slices.Contains(allowed, "**") {
				continue
			}
			// The pattern for systems covers what all may import, never what is written out in the table.
			if !slices.Contains(allowed, own) && (kind(own) != "connectors/*" || !slices.Contains(allowed, "connectors/*")) {
				t.Errorf("%s imports %s; %s may import %v", name, own, dir, allowed)
			}
		}
	})
}

// What a collection can do is asked with connectors.As: a plugin and a preview have methods that lead nowhere, and a type
// assertion would believe them.
func TestAbilitiesAreAskedForWithAs(t *testing.T) {
	abilities := []string{"Describer", "Finder", "Scoper", "Creator", "Settler", "Updater", "DeleteLog", "Counter", "Conditional", "Batcher", "Deleter", "Retirer",
		"Notifier", "Requirer", "Locator", "CommentReader", "Commenter", "CommentEditor", "AttachmentReader", "Attacher", "Chronicler"}
	asked := 0
	sources(t, parser.SkipObjectResolution, func(dir, _ string, set *token.FileSet, f *ast.File) {
		if kind(dir) == "connectors/*" && dir != "connectors/guard" && dir != "connectors/connectortest" {
			return // a system knows its own collections
		}
		ability := func(e ast.Expr) bool {
			sel, ok := e.(*ast.SelectorExpr)
			if !ok {
				return false
			}
			id, ok := sel.X.(*ast.Ident)
			return ok && id.Name == "connectors" && slices.Contains(abilities, sel.Sel.Name)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeAssertExpr:
				if n.Type != nil && ability(n.Type) {
					t.Errorf("%s: an assertion to %s; write connectors.As", set.Position(n.Pos()), n.Type.(*ast.SelectorExpr).Sel.Name)
				}
			case *ast.IndexExpr:
				if ability(n.Index) {
					asked++
				}
			}
			return true
		})
	})
	if asked == 0 {
		t.Error("nobody asks for an ability")
	}
}

func TestTheCoreIsPure(t *testing.T) {
	sources(t, parser.SkipObjectResolution, func(dir, name string, set *token.FileSet, f *ast.File) {
		if !slices.Contains(pure, dir) {
			return
		}
		timeName := ""
		for i, p := range importsOf(t, f) {
			if slices.Contains(notPure, p) {
				t.Errorf("%s imports %s, and %s must be pure", name, p, dir)
			}
			if strings.Contains(strings.SplitN(p, "/", 2)[0], ".") && !strings.HasPrefix(p, module+"/") {
				t.Errorf("%s imports %s, and %s needs the standard library only", name, p, dir)
			}
			if p == "time" {
				timeName = "time"
				if n := f.Imports[i].Name; n != nil {
					timeName = n.Name
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == timeName && slices.Contains(clock, sel.Sel.Name) {
				t.Errorf("%s: %s.%s, and %s must not know what time it is", set.Position(sel.Pos()), timeName, sel.Sel.Name, dir)
			}
			return true
		})
	})
}

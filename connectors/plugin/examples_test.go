package plugin_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/engine/record"
)

// inGo builds the example in Go into a folder of plugins.
func inGo(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	run(t, ".", "go", "build", "-o", filepath.Join(folder, "shelf"), "./examples/shelf")
	return folder
}

// inJavaScript lays the example in JavaScript out as its README says, or says why it cannot.
func inJavaScript(t *testing.T) (folder, why string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", program + " is not installed"
		}
	}
	folder = t.TempDir()
	own := filepath.Join(folder, "shelf-js")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("examples/shelf-js/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, "protocol/fieldsync.proto") {
		copied(t, f, filepath.Join(own, filepath.Base(f)))
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = own
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "its modules cannot be installed here: " + err.Error() + "\n" + string(out)
	}
	return folder, ""
}

func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}

// shelf opens an example over a folder of files.
func shelf(t *testing.T, program, plugins, desk string) (connectors.Connection, error) {
	t.Helper()
	return shelfWith(t, program, plugins, `folder = "`+desk+`"`)
}

func shelfWith(t *testing.T, program, plugins, own string) (connectors.Connection, error) {
	t.Helper()
	_, diags := settings(t, t.TempDir(), "program = \""+program+"\"\nfolder = \""+plugins+`"`)
	m := pinned.FindStringSubmatch(diags.Error())
	if m == nil {
		t.Fatal(diags)
	}
	return opened(t, bodyOf(program, plugins, m[1], own, ""), nil)
}

func desk(t *testing.T) string {
	t.Helper()
	desk := t.TempDir()
	if err := os.Mkdir(filepath.Join(desk, "tickets"), 0o755); err != nil {
		t.Fatal(err)
	}
	return desk
}

// The examples are tried as people use them: built, pinned, started, and held to the suite of fieldsync check --conformance.
func TestExamples(t *testing.T) {
	plugins := map[string]string{"shelf": inGo(t)}
	why := ""
	plugins["shelf-js"], why = inJavaScript(t)
	each := func(t *testing.T, do func(t *testing.T, program string)) {
		for program := range plugins {
			t.Run(program, func(t *testing.T) {
				if program == "shelf-js" && why != "" {
					t.Skip(why)
				}
				do(t, program)
			})
		}
	}

	t.Run("keep the promises", func(t *testing.T) {
		each(t, func(t *testing.T, program string) {
			desk, held := desk(t), 0
			err := connectortest.Live{Collection: "tickets", Open: func() (connectors.Connection, error) { return shelf(t, program, plugins[program], desk) }}.Run(t.Context(), func(r connectortest.Result) {
				if len(r.Failed) > 0 {
					t.Errorf("%s: %s", r.Check, strings.Join(r.Failed, "; "))
				} else if r.Skipped == "" {
					held++
				}
			})
			if err != nil || held < 39 {
				t.Errorf("%d promises hold, %v", held, err)
			}
		})
	})

	t.Run("refuse settings that they do not have", func(t *testing.T) {
		each(t, func(t *testing.T, program string) {
			conn, err := shelfWith(t, program, plugins[program], "folder = \"/tmp\"\npath = \"/tmp\"")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Collection(t.Context(), "tickets"); !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), `"path"`) {
				t.Errorf("the error is %v", err)
			}
		})
	})

	t.Run("understand each other", func(t *testing.T) {
		if why != "" {
			t.Skip(why)
		}
		desk := desk(t)
		understand(t, func(program string) connectors.Collection {
			conn, err := shelf(t, program, plugins[program], desk)
			if err != nil {
				t.Fatal(err)
			}
			c, err := conn.Collection(t.Context(), "tickets")
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
	})
}

// understand shows that what is written through one is read, and guarded by its version, through the other.
func understand(t *testing.T, open func(program string) connectors.Collection) {
	ours, theirs := open("shelf"), open("shelf-js")
	values := record.Fields{"title": record.OfText("grüße 🚒 \x01\r\n"), "ref": record.OfText("T-1"), "state": record.OfText("open"), "priority": record.OfInt(-9_007_199_254_740_991),
		"hours": record.OfFloat(0.1), "urgent": record.OfBool(false), "due": sample(3)["due"], "tags": sample(3)["tags"]}
	all := []string{"title", "ref", "state", "priority", "hours", "urgent", "due", "tags"}
	for name, pair := range map[string][2]connectors.Collection{"from Go": {ours, theirs}, "from JavaScript": {theirs, ours}} {
		creator, _ := connectors.As[connectors.Creator](pair[0])
		made, err := creator.Create(t.Context(), all, values)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n := 0
		err = pair[1].Read(t.Context(), all, []string{made.Key}, func(r record.Record) error {
			n++
			for i, p := range all {
				if r.Values[i] != values[p] {
					t.Errorf("%s: %s is %s, want %s", name, p, r.Values[i], values[p])
				}
			}
			return nil
		})
		if n != 1 || err != nil {
			t.Errorf("%s: %d records, %v", name, n, err)
		}
		for i, up := range []connectors.Collection{pair[1], pair[0]} {
			updater, _ := connectors.As[connectors.Updater](up)
			_, err := updater.Update(t.Context(), all, made.Key, made.Version, record.Fields{"title": record.OfText("new")})
			if i == 0 && err != nil || i == 1 && !errors.Is(err, connectors.ErrStale) {
				t.Errorf("%s: update %d from the version that was made: %v", name, i, err)
			}
		}
	}
}

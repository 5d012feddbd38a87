package plugin_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
)

// A tracer is a program that leaves a trace when it is started.
func tracer(t *testing.T) (folder, trace string) {
	t.Helper()
	folder = t.TempDir()
	trace = filepath.Join(t.TempDir(), "trace")
	write(t, filepath.Join(folder, "shop"), "#!/bin/sh\necho started >"+trace+"\n", 0o755)
	return folder, trace
}

func write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

var zeros = strings.Repeat("0", 64)

var pinned = regexp.MustCompile(`sha256 = "([0-9a-f]{64})"`)

// sumSaid is the sum that the message about a missing pin tells to write.
func sumSaid(t *testing.T, folder string) string {
	t.Helper()
	_, diags := settings(t, t.TempDir(), `program = "shop"`+"\nfolder = \""+folder+`"`)
	m := pinned.FindStringSubmatch(diags.Error())
	if m == nil {
		t.Fatalf("no sum is said: %v", diags)
	}
	return m[1]
}

func TestWithoutAPinTheSumIsSaid(t *testing.T) {
	folder, trace := tracer(t)
	_, diags := settings(t, t.TempDir(), `program = "shop"`+"\nfolder = \""+folder+`"`)
	if !diags.HasErrors() || diags[0].Summary != "Plugin without a pin" || !strings.Contains(diags[0].Detail, "if this is the program that you trust") || diags[0].Subject.Start.Line != 1 {
		t.Errorf("diagnostics: %v", diags)
	}
	conn, err := opened(t, bodyOf("shop", folder, sumSaid(t, folder), "", ""), nil)
	if err != nil {
		t.Fatalf("with the sum that was said: %v", err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("the program was started by opening")
	}
	if _, err := conn.Collection(t.Context(), "x"); err == nil {
		t.Error("a shell script is no plugin")
	}
	if _, err := os.Stat(trace); err != nil {
		t.Error("the program was not started by use")
	}
}

func TestAProgramIsNotStartedUnlessItIsTheOneThatIsMeant(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, folder string)
		more   string
		sum    string // "": the right one
		says   string
	}{
		"another sum":               {sum: zeros, says: "the mapping pins " + zeros},
		"changed since":             {change: func(t *testing.T, f string) { write(t, f+"/shop", "#!/bin/sh\n", 0o755) }, says: "it is not started"},
		"not there":                 {change: func(t *testing.T, f string) { remove(t, f+"/shop"); write(t, f+"/shopp", "", 0o755) }, says: `did you mean "shopp"`},
		"no folder":                 {change: func(t *testing.T, f string) { remove(t, f) }, says: "there is no folder"},
		"not executable":            {change: func(t *testing.T, f string) { write(t, f+"/shop", "", 0o644) }, says: "chmod 755"},
		"writable by all":           {change: func(t *testing.T, f string) { chmod(t, f+"/shop", 0o757) }, says: "anybody on this machine can write"},
		"in a folder of all":        {change: func(t *testing.T, f string) { chmod(t, f, 0o777) }, says: "anybody on this machine can write"},
		"a link out of the folder":  {change: func(t *testing.T, f string) { remove(t, f+"/shop"); link(t, "/bin/sh", f+"/shop") }, says: "out of its folder"},
		"a folder without its file": {change: func(t *testing.T, f string) { remove(t, f+"/shop"); write(t, f+"/shop/start", "", 0o755) }, says: "called like its folder"},
	} {
		t.Run(name, func(t *testing.T) {
			folder, trace := tracer(t)
			sum := sumSaid(t, folder)
			if tt.sum != "" {
				sum = tt.sum
			}
			if tt.change != nil {
				tt.change(t, folder)
			}
			_, err := opened(t, bodyOf("shop", folder, sum, "", ""), nil)
			if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error()+"; "+connectors.Hint(err), tt.says) {
				t.Errorf("the error is %v (%s), want %q", err, connectors.Hint(err), tt.says)
			}
			if _, err := os.Stat(trace); err == nil {
				t.Error("it was started all the same")
			}
		})
	}
}

// The sum is compared again before each start, so that a change between opening and use is noticed.
func TestAProgramThatIsChangedAfterOpeningIsNotStarted(t *testing.T) {
	folder, trace := tracer(t)
	conn, err := opened(t, bodyOf("shop", folder, sumSaid(t, folder), "", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder+"/shop", "#!/bin/sh\necho evil >"+trace+"\n", 0o755)
	if _, err := conn.Collection(t.Context(), "x"); !errors.Is(err, connectors.ErrConfig) {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("it was started")
	}
}

func TestAFolderIsPinnedWithAllThatIsInIt(t *testing.T) {
	laid := func(t *testing.T) (folder string) {
		folder = t.TempDir()
		write(t, folder+"/shop/shop", "#!/bin/sh\n", 0o755)
		write(t, folder+"/shop/lib/a.js", "a", 0o644)
		write(t, folder+"/shop/lib/b.js", "b", 0o644)
		link(t, "a.js", folder+"/shop/lib/c.js")
		return folder
	}
	for name, change := range map[string]func(t *testing.T, f string){
		"a file changed":    func(t *testing.T, f string) { write(t, f+"/lib/a.js", "A", 0o644) },
		"a file added":      func(t *testing.T, f string) { write(t, f+"/lib/d.js", "", 0o644) },
		"a file removed":    func(t *testing.T, f string) { remove(t, f+"/lib/b.js") },
		"a file renamed":    func(t *testing.T, f string) { remove(t, f+"/lib/b.js"); write(t, f+"/lib/e.js", "b", 0o644) },
		"a link turned":     func(t *testing.T, f string) { remove(t, f+"/lib/c.js"); link(t, "b.js", f+"/lib/c.js") },
		"a link leads out":  func(t *testing.T, f string) { remove(t, f+"/lib/c.js"); link(t, "/etc/passwd", f+"/lib/c.js") },
		"anybody can write": func(t *testing.T, f string) { chmod(t, f+"/lib/a.js", 0o666) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := laid(t)
			sum := sumSaid(t, folder)
			if _, err := opened(t, bodyOf("shop", folder, sum, "", ""), nil); err != nil {
				t.Fatal(err)
			}
			change(t, folder+"/shop")
			if _, err := opened(t, bodyOf("shop", folder, sum, "", ""), nil); !errors.Is(err, connectors.ErrConfig) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestWrongSettingsHaveTheirPlace(t *testing.T) {
	folder, _ := tracer(t)
	for body, says := range map[string]string{
		`program = "../shop"`:                                                      "no name of a file",
		`program = "a/b"`:                                                          "no name of a file",
		"program = \"shop\"\nsha256 = \"abc\"":                                     "64 digits",
		"program = \"shop\"\ntimeout = \"long\"":                                   "90s",
		"program = \"shop\"\ntimeout = \"1ms\"":                                    "from one second",
		"program = \"shop\"\nmax_records = -1":                                     "at least 1",
		"program = \"shop\"\nsha256 = \"" + zeros + "\"\nsettings {\n a = nope\n}": "Variables not allowed",
		"sha256 = \"" + zeros + `"`:                                                "program",
	} {
		_, diags := settings(t, filepath.Dir(folder), body)
		if !diags.HasErrors() || !strings.Contains(diags.Error(), says) {
			t.Errorf("%s: %v, want %q", body, diags, says)
		}
	}
}

func TestConnectionsAreToldApartByProgramAndSettings(t *testing.T) {
	shown := func(body string) (any, []string) {
		c, diags := settings(t, t.TempDir(), "program = \"shop\"\nsha256 = \""+zeros+"\"\n"+body)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return c.Veil()
	}
	same := func(a, b string) bool {
		x, _ := shown(a)
		y, _ := shown(b)
		return fmt.Sprint(x) == fmt.Sprint(y)
	}
	if !same("settings {\n a = 1\n auth \"basic\" {\n  user = \"x\"\n }\n}", "timeout = \"5m\"\nsettings {\n auth \"basic\" {\n  user = \"x\"\n }\n a = 1\n}") {
		t.Error("the order of settings and what is ours make another system")
	}
	if same("settings {\n a = 1\n}", "settings {\n a = 2\n}") {
		t.Error("other settings are the same system")
	}
	if _, secrets := shown("settings {\n a = env(\"A\")\n password = \"p1\"\n list = [env(\"B\"), \"x\"]\n}"); strings.Join(secrets, " ") != "p1 secret-of-A secret-of-B x" {
		t.Errorf("secrets are %q", secrets)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

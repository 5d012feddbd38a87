package dataminer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheScriptsCompile has a C# compiler read the scripts against declarations of what they use. DataMiner's own libraries
// are not public: that the declarations agree with them is not known.
func TestTheScriptsCompile(t *testing.T) {
	mcs, err := exec.LookPath("mcs")
	if err != nil {
		t.Skip("there is no C# compiler: install mono-mcs (apt-get install mono-mcs)")
	}
	for _, script := range []string{"FieldSyncBridge.cs", "FieldSyncTickets.cs"} {
		t.Run(script, func(t *testing.T) {
			out, err := exec.Command(mcs, "-target:library", "-langversion:7", "-warnaserror", "-out:"+filepath.Join(t.TempDir(), "script.dll"),
				filepath.Join("bridge", script), filepath.Join("bridge", "testdata", "declarations.cs")).CombinedOutput()
			if err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// TestTheScriptsServeWhatTheirReadmeNames holds the routes of the scripts to those that an administrator is told to publish,
// and that the connector calls.
func TestTheScriptsServeWhatTheirReadmeNames(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme := read(filepath.Join("bridge", "README.md"))
	served := map[string]bool{}
	for _, script := range []string{"FieldSyncBridge.cs", "FieldSyncTickets.cs"} {
		for _, m := range regexp.MustCompile(`case "([A-Z]+) (fieldsync/[a-z-]+)":`).FindAllStringSubmatch(read(filepath.Join("bridge", script)), -1) {
			served[m[1]+" "+m[2]] = true
			if !regexp.MustCompile(`\| .?` + m[2] + `.? \|.*` + m[1]).MatchString(readme) {
				t.Errorf("the table of routes in the README does not have %s %s of %s", m[1], m[2], script)
			}
			if !regexp.MustCompile(regexp.QuoteMeta(m[1]+" "+m[2]) + `\b`).MatchString(readme) {
				t.Errorf("the calls in the README do not have %s %s of %s", m[1], m[2], script)
			}
		}
	}
	if len(served) != 10 {
		t.Errorf("%d routes are served", len(served))
	}
	sim := read(filepath.Join("sim", "sim.go")) + read(filepath.Join("sim", "sdm.go"))
	for call := range served {
		if !strings.Contains(sim, `"`+call+`"`) {
			t.Errorf("the simulator does not serve %s", call)
		}
	}
}

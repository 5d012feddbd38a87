package mapping_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

// Each line of a broken file that has errors says so at its end: "# error: Summary; Summary".
func TestBrokenFilesSayWhatIsWrongWithThem(t *testing.T) {
	names, err := filepath.Glob("testdata/broken/*.hcl")
	if err != nil || len(names) == 0 {
		t.Fatal("no broken files", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for i, line := range strings.Split(string(src), "\n") {
				_, list, _ := strings.Cut(line, "# error: ")
				for summary := range strings.SplitSeq(list, "; ") {
					if summary != "" {
						want = append(want, fmt.Sprintf("%3d %s", i+1, summary))
					}
				}
			}
			_, diags := mapping.Parse(map[string][]byte{name: src}, t.TempDir(), options())
			for _, d := range diags {
				if d.Severity == hcl.DiagError {
					got = append(got, fmt.Sprintf("%3d %s", d.Subject.Start.Line, d.Summary))
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

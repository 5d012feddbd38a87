package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/console"
)

func TestTheVendoredFileIsTheOneThatIsNamed(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("assets/htmx.min.js")
	if err != nil {
		t.Fatal(err)
	}
	about, err := os.ReadFile("assets/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	if !strings.Contains(string(about), hex.EncodeToString(sum[:])) {
		t.Errorf("assets/README.md does not name the checksum %x", sum)
	}
}

func TestReadingNeedsTheLowestRoleAndWritingMore(t *testing.T) {
	t.Parallel()
	for _, r := range console.New(nil, console.Options{}).Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		switch {
		case strings.HasPrefix(path, "/static/"):
			if r.Role != access.Nobody {
				t.Errorf("%s needs the role %s, and the log-in page needs it", r.Pattern, r.Role)
			}
		case method == "GET" && r.Role != access.Look, method == "POST" && r.Role < access.Decide:
			t.Errorf("%s needs the role %s", r.Pattern, r.Role)
		case method != "GET" && method != "POST":
			t.Errorf("%s is neither read nor posted", r.Pattern)
		}
	}
}

func TestADiffLeadsFromOneTextToTheOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string {
			lines := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "", "}"}), 0, 30).Draw(t, "lines")
			return strings.Join(lines, "\n")
		})
		old, now := text.Draw(t, "old"), text.Draw(t, "now")
		diff := console.Compare(old, now)
		if (diff == nil) != (old == now) {
			t.Fatalf("%q and %q differ by %v", old, now, diff)
		}
		// What is shown stands where it says, and what is not shown is the same in both.
		x, y := strings.Split(old, "\n"), strings.Split(now, "\n")
		kept := [2][]bool{make([]bool, len(x)), make([]bool, len(y))}
		for _, l := range diff {
			if l.Op == "…" {
				continue
			}
			if (l.Op == "-") != (l.New == 0) || (l.Op == "+") != (l.Old == 0) {
				t.Fatalf("%+v", l)
			}
			for i, n := range []int{l.Old, l.New} {
				side := [2][]string{x, y}[i]
				if n > 0 && (side[n-1] != l.Text || kept[i][n-1]) {
					t.Fatalf("line %d of side %d is not %q", n, i, l.Text)
				}
				if n > 0 {
					kept[i][n-1] = true
				}
			}
		}
		rest := func(lines []string, kept []bool) (out []string) {
			for i, l := range lines {
				if !kept[i] && l != "" { // a text may end with or without an empty line
					out = append(out, l)
				}
			}
			return out
		}
		if diff != nil {
			if d := cmp.Diff(rest(x, kept[0]), rest(y, kept[1])); d != "" {
				t.Fatalf("what is left out of %q → %q differs:\n%s", old, now, d)
			}
		}
	})
}

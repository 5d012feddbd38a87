package mapping_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// translation loads one block beside the sound configuration.
func translation(t *testing.T, block string) *mapping.Translation {
	t.Helper()
	c, diags := mapping.Parse(map[string][]byte{"sound.hcl": []byte(sound + block)}, "testdata", options())
	if diags.HasErrors() {
		t.Fatal(show(c, diags))
	}
	return c.Translations[len(c.Translations)-1]
}

func TestTranslationsWorkBothWays(t *testing.T) {
	const rows = `rows = [["new", "1"], ["open", 2], [null, "0"], [true, "9"]]`
	for _, tt := range []struct {
		name string
		more string
		from int
		give record.Value
		want record.Value
		err  string
	}{
		{"forwards", "", 0, record.OfText("new"), record.OfText("1"), ""},
		{"backwards", "", 1, record.OfText("1"), record.OfText("new"), ""},
		{"a number stands for its text", "", 1, record.OfInt(1), record.OfText("new"), ""},
		{"a text stands for its number", "", 1, record.OfText("2"), record.OfText("open"), ""},
		{"a row of null", "", 0, record.NullValue, record.OfText("0"), ""},
		{"null without a row stays null", "", 1, record.NullValue, record.NullValue, ""},
		{"true stands for its text", "", 0, record.OfText("true"), record.OfText("9"), ""},
		{"what cannot be read stays so", "", 0, record.UnknownValue, record.UnknownValue, ""},
		{"a value without a row holds the field", "", 0, record.OfText("wip"), record.Value{}, `no row for ticket "wip"`},
		{"hold is the default", `unmatched = "hold"`, 0, record.OfText("wip"), record.Value{}, `no row`},
		{"empty for a value without a row", `unmatched = "empty"`, 0, record.OfText("wip"), record.NullValue, ""},
		{"a value for one without a row", `unmatched = 5`, 0, record.OfText("wip"), record.OfInt(5), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := translation(t, "translation \"t\" {\n columns = [\"ticket\", \"incident\"]\n"+rows+"\n"+tt.more+"\n}\n")
			got, err := tr.Translate(tt.from, tt.give, noon)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error is %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestTheFirstRowIsTheWayBackOfALossyTranslation(t *testing.T) {
	tr := translation(t, "translation \"t\" {\n lossy = true\n columns = [\"ticket\", \"incident\"]\n rows = [[\"open\", \"2\"], [\"waiting\", \"2\"]]\n}\n")
	if got, err := tr.Translate(1, record.OfText("2"), noon); err != nil || got.Text() != "open" {
		t.Errorf("2 goes back to %v, %v", got, err)
	}
}

func TestTranslationsOfFiles(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, file, columns string
		want                string // what "new" becomes; "" for an error
		err                 string
	}{
		{"the first line names the columns", "ticket,incident\nnew,1\n", "", "1", ""},
		{"columns are chosen by name", "note,incident,ticket\nx,1,new\n", `columns = ["ticket", "incident"]`, "1", ""},
		{"a byte order mark is no part of a name", "\ufeffticket,incident\nnew,1\n", "", "1", ""},
		{"a quoted cell", "ticket,incident\n\"new\",\"1,5\"\n", "", "1,5", ""},
		{"three columns and no choice", "a,b,c\nnew,1,2\n", "", "", "Two columns needed"},
		{"a column that is not there", "ticket,incidents\nnew,1\n", `columns = ["ticket", "incident"]`, "", "Column not in the file"},
		{"lines of unequal length", "ticket,incident\nnew\n", "", "", "Not a CSV file"},
		{"nothing", "", "", "", "Empty file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			src := "translation \"t\" {\n file = \"t.csv\"\n" + tt.columns + "\n}\n"
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, dir, options())
			if tt.err != "" {
				if got := summaries(diags); !slices.Equal(got, []string{tt.err}) {
					t.Errorf("diagnostics are %q", got)
				}
				return
			}
			if diags.HasErrors() {
				t.Fatal(show(c, diags))
			}
			if got, err := c.Translations[0].Translate(0, record.OfText("new"), noon); err != nil || got.Text() != tt.want {
				t.Errorf("got %v, %v", got, err)
			}
			if want := []string{filepath.Join(dir, "t.csv")}; !slices.Equal(c.Inputs, want) {
				t.Errorf("inputs are %q", c.Inputs)
			}
		})
	}
}

func TestAnEditedTableIsAnotherConfiguration(t *testing.T) {
	dir := t.TempDir()
	digest := func(rows string) string {
		if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte(rows), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _ := mapping.Parse(map[string][]byte{"a.hcl": []byte("translation \"t\" {\n file = \"t.csv\"\n}\n")}, dir, options())
		return c.Digest
	}
	if digest("a,b\n1,2\n") == digest("a,b\n1,3\n") {
		t.Error("the digest is the same")
	}
}

// people is a collection that can be searched; it counts how often and for what.
type people struct {
	connectors.Collection
	mu    sync.Mutex
	asked [][]record.Value
	rows  [][2]string // email, sys_id
	fail  error
}

func (p *people) Find(_ context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	p.mu.Lock()
	p.asked = append(p.asked, values)
	p.mu.Unlock()
	for i, row := range p.rows {
		of := map[string]string{"email": row[0], "sys_id": row[1]}
		if !slices.ContainsFunc(values, func(v record.Value) bool { return strings.EqualFold(v.Text(), of[path]) }) {
			continue
		}
		r := record.Record{Key: string(rune('a' + i))}
		for _, p := range paths {
			r.Values = append(r.Values, record.OfText(of[p]))
		}
		if err := emit(r); err != nil {
			return err
		}
	}
	return p.fail
}

const live = `
translation "people" {
  columns = ["ticket", "incident"]
  lookup {
    connection = connection.prod
    collection = "sys_user"
    ticket     = "email"
    incident   = "sys_id"
    refresh    = "10m"
  }
}
`

func need(column int, v string) reconcile.Needed {
	return reconcile.Needed{Translation: "people", Column: column, Value: record.OfText(v)}
}

func TestLookUpsAreFetchedOnceAndRemembered(t *testing.T) {
	tr := translation(t, live)
	col := &people{rows: [][2]string{{"bob@x", "u1"}, {"eve@x", "u2"}, {"eve@x", "u3"}}}
	_, err := tr.Translate(0, record.OfText("Bob@x"), noon)
	if n, ok := errors.AsType[*reconcile.Needed](err); !ok || *n != need(0, "Bob@x") {
		t.Fatalf("a look-up that was not fetched gives %v", err)
	}
	needs := []reconcile.Needed{need(0, "Bob@x"), need(0, "Bob@x"), need(0, "eve@x"), need(0, "nobody@x"), need(1, "u3"),
		{Translation: "other", Column: 0, Value: record.OfText("z")}}
	if err := tr.Fetch(t.Context(), col, needs, noon); err != nil {
		t.Fatal(err)
	}
	if len(col.asked) != 2 || len(col.asked[0]) != 3 || len(col.asked[1]) != 1 {
		t.Errorf("asked for %v", col.asked)
	}
	for _, tt := range []struct {
		name string
		from int
		give string
		want string
		err  string
	}{
		{"found whatever the case", 0, "Bob@x", "u1", ""},
		{"back", 1, "u3", "eve@x", ""},
		{"two candidates are none", 0, "eve@x", "", "several records have email \"eve@x\""},
		{"a miss is remembered", 0, "nobody@x", "", "there is no email \"nobody@x\" in sys_user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tr.Translate(tt.from, record.OfText(tt.give), noon.Add(9*time.Minute))
			if got.Text() != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := tr.Translate(0, record.OfText("Bob@x"), noon.Add(11*time.Minute)); err == nil {
		t.Error("the row never runs out")
	}
	if v, err := tr.Translate(0, record.NullValue, noon); err != nil || !v.Empty() {
		t.Errorf("null gives %v, %v", v, err)
	}
}

func TestLookUpsThatFail(t *testing.T) {
	tr := translation(t, live)
	err := tr.Fetch(t.Context(), &people{fail: connectors.ErrOffline}, []reconcile.Needed{need(0, "a")}, noon)
	if !errors.Is(err, connectors.ErrOffline) {
		t.Errorf("error is %v", err)
	}
	if _, err := tr.Translate(0, record.OfText("a"), noon); err == nil || strings.Contains(err.Error(), "no email") {
		t.Errorf("a search that failed counts as a miss: %v", err)
	}
	var plain struct{ connectors.Collection }
	if err := tr.Fetch(t.Context(), plain, []reconcile.Needed{need(0, "a")}, noon); !errors.Is(err, connectors.ErrConfig) || connectors.Hint(err) == "" {
		t.Errorf("error is %v", err)
	}
	if err := tr.Fetch(t.Context(), plain, nil, noon); err != nil {
		t.Errorf("nothing to fetch is an error: %v", err)
	}
}

func TestLookUpsFromManyGoroutines(t *testing.T) {
	tr := translation(t, live)
	col := &people{rows: [][2]string{{"bob@x", "u1"}}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := tr.Translate(0, record.OfText("bob@x"), noon); err != nil {
					_ = tr.Fetch(t.Context(), col, []reconcile.Needed{need(0, "bob@x"), need(1, "u1")}, noon)
				}
			}
		})
	}
	wg.Wait()
	if v, err := tr.Translate(0, record.OfText("bob@x"), noon); v.Text() != "u1" || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
}

func TestColumnsBelongToSidesByNameThenByPosition(t *testing.T) {
	for _, tt := range []struct {
		name, columns string
		want          string // of ticket "a" on the incident
	}{
		{"in the order of the sides", `["ticket", "incident"]`, "b"},
		{"in the other order", `["incident", "ticket"]`, "z"},
		{"one name in the other place", `["words", "ticket"]`, "z"},
		{"names of nobody go by position", `["left", "right"]`, "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.Replace(sound, titleField, "field \"f\" {\n ticket = \"x\"\n incident = \"y\"\n via = translation.t\n}\n", 1) +
				"translation \"t\" {\n columns = " + tt.columns + "\n rows = [[\"a\", \"b\"], [\"z\", \"a\"]]\n}\n"
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
			s, _ := c.Sync("main")
			comp, more := c.Compile(s, [2]*connectors.Schema{})
			if comp == nil {
				t.Fatal(show(c, append(diags, more...)))
			}
			rule := comp.Rules.Fields[0]
			env := reconcile.Env{Values: [2][]record.Value{make([]record.Value, len(comp.Rules.Sides[0].Paths)), nil}}
			env.Values[0][rule.Paths[0][0]] = record.OfText("a")
			if got, err := rule.To[1](env); err != nil || got[0].Text() != tt.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

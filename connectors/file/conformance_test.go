package file_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/file"
	"github.com/fieldsync/fieldsync/engine/record"
)

func env(dir string) connectors.Env {
	return connectors.Env{Name: "files", Log: slog.New(slog.DiscardHandler), Dir: dir}
}

// open opens the collection of one file with this content.
func open(t testing.TB, name, content string, f file.File) (connectors.Collection, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	f.Name, f.Path = "things", name
	conn, err := (&file.Config{Files: []file.File{f}}).Open(env(filepath.Dir(path)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := conn.Collection(t.Context(), "things")
	if err != nil {
		t.Fatal(err)
	}
	return c, path
}

func contentOf(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func replace(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// person edits a JSON or NDJSON file as a script would: all of it, through encoding/json.
type person struct {
	path string
	json bool
	made int
}

func (p *person) load(t testing.TB) (rs []map[string]any) {
	t.Helper()
	content := contentOf(t, p.path)
	if p.json {
		if err := json.Unmarshal([]byte(content), &rs); err != nil {
			t.Fatal(err)
		}
		return rs
	}
	for line := range strings.Lines(content) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func (p *person) store(t testing.TB, rs []map[string]any) {
	t.Helper()
	var b strings.Builder
	if p.json {
		if rs == nil {
			rs = []map[string]any{}
		}
		all, err := json.MarshalIndent(rs, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		b.Write(all)
	} else {
		e := json.NewEncoder(&b)
		for _, r := range rs {
			if err := e.Encode(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace(t, p.path, b.String())
}

func put(r map[string]any, f record.Fields) {
	for path, v := range f {
		if outer, inner, nested := strings.Cut(path, "."); nested {
			m, _ := r[outer].(map[string]any)
			if m == nil {
				m = map[string]any{}
			}
			m[inner] = v.Any()
			r[outer] = m
			continue
		}
		r[path] = v.Any()
	}
}

func TestConformanceJSON(t *testing.T) {
	for _, format := range []string{"json", "ndjson"} {
		t.Run(format, func(t *testing.T) {
			start := ""
			if format == "json" {
				start = "[]\n"
			}
			connectortest.Run(t, connectortest.Suite{
				Paths: []string{"title", "id", "meta.weight", "meta.ref", "done"}, Marker: "meta.ref", Text: "title", Conditional: true,
				Sample: func(i int) record.Fields {
					return record.Fields{
						"title":       record.OfText("title " + strconv.Itoa(i)),
						"meta.weight": record.OfFloat(float64(i) + 0.5),
						"meta.ref":    record.OfText("ref" + strconv.Itoa(i)),
						"done":        record.OfBool(i%2 == 0),
					}
				},
				Open: func(t *testing.T) connectortest.System {
					// The paths have to be known from the first record on; an empty file has none.
					c, path := open(t, "things."+format, start, file.File{})
					p := &person{path: path, json: format == "json"}
					return connectortest.System{
						Collection: c,
						Add: func(t *testing.T, f record.Fields) string {
							rs := p.load(t)
							p.made++
							r := map[string]any{"id": "k" + strconv.Itoa(p.made)}
							put(r, f)
							p.store(t, append(rs, r))
							return r["id"].(string)
						},
						Edit: func(t *testing.T, key string, f record.Fields) {
							rs := p.load(t)
							for _, r := range rs {
								if r["id"] == key {
									put(r, f)
								}
							}
							p.store(t, rs)
						},
						Remove: func(t *testing.T, key string) {
							p.store(t, slices.DeleteFunc(p.load(t), func(r map[string]any) bool { return r["id"] == key }))
						},
					}
				},
			})
		})
	}
}

func TestConformanceCSV(t *testing.T) {
	header := []string{"id", "title", "ref", "other col"}
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"title", "id", "ref", "other col"}, Marker: "ref", Text: "title", Conditional: true,
		Sample: func(i int) record.Fields {
			return record.Fields{
				"title":     record.OfText(fmt.Sprintf("title, no. %d", i)),
				"ref":       record.OfText("ref" + strconv.Itoa(i)),
				"other col": record.OfText(`say "` + strconv.Itoa(i) + `"`),
			}
		},
		Open: func(t *testing.T) connectortest.System {
			c, path := open(t, "things.csv", strings.Join(header, ",")+"\n", file.File{})
			made := 0
			load := func(t *testing.T) [][]string {
				rows, err := csv.NewReader(strings.NewReader(contentOf(t, path))).ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				return rows
			}
			store := func(t *testing.T, rows [][]string) {
				var b strings.Builder
				if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
					t.Fatal(err)
				}
				replace(t, path, b.String())
			}
			put := func(row []string, f record.Fields) {
				for i, h := range header {
					if v, ok := f[h]; ok {
						row[i] = v.Plain()
					}
				}
			}
			return connectortest.System{
				Collection: c,
				Add: func(t *testing.T, f record.Fields) string {
					made++
					row := make([]string, len(header))
					row[0] = strconv.Itoa(made)
					put(row, f)
					store(t, append(load(t), row))
					return row[0]
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					rows := load(t)
					for _, row := range rows[1:] {
						if row[0] == key {
							put(row, f)
						}
					}
					store(t, rows)
				},
				Remove: func(t *testing.T, key string) {
					store(t, slices.DeleteFunc(load(t), func(row []string) bool { return row[0] == key }))
				},
			}
		},
	})
}

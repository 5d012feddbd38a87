package file_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/file"
	"github.com/fieldsync/fieldsync/engine/record"
)

// FuzzFiles reads any content in each format and, where it can be read, changes the first record: nothing may
// panic, errors are of a known kind, what was accepted is what the standard library reads too, and no other
// record may change.
func FuzzFiles(f *testing.F) {
	for _, s := range []string{
		"id,title\n1,a\n2,\"b\"\"c\"\n", "\ufeffid;title\r\n1;\"a\r\nb\"\r\n", "id,id\n", "id\n\n1\n", "id,title\n1,\"a\n", "",
		"{\"id\":1,\"title\":\"a\"}\n{\"id\":\"2\",\"u\":{\"v\":[1,{}]}}\n", "{\"id\":1}{\"id\":2}\n", "[{\"id\":1},{\"id\":\"x\",\"title\":\"\\ud83d\\ude92\"}]\n",
		"[]", "[{}]", "[{\"id\":1},]", "{\"id\":\"\\u0000\"}\n", "{\"id\":1e400,\"title\":0x1}\n", "{\"title\":1,\"id\":2,\"title\":3}\n", "[[{\"id\":1}]]", "id,title\n1,\"a\"x\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, format := range []string{"csv", "ndjson", "json"} {
			path := filepath.Join(t.TempDir(), "x."+format)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			conn, err := (&file.Config{Path: path}).Open(env(""))
			if err != nil {
				t.Fatal(err)
			}
			before, col, err := versions(t, conn)
			if err != nil {
				known(t, format, err)
				continue
			}
			accepted(t, format, content, len(before))
			for key := range before {
				r, err := col.(connectors.Updater).Update(t.Context(), []string{"title"}, key, "", record.Fields{"title": record.OfText("\"new\",")})
				if err != nil {
					known(t, format, err)
					break
				}
				if r.Values[0].Text() != "\"new\"," {
					t.Errorf("%s: the record shows %s", format, r.Values[0])
				}
				after, _, err := versions(t, conn)
				if err != nil {
					t.Fatalf("%s: after a write: %v", format, err)
				}
				before[key] = after[key]
				for k, v := range before {
					if after[k] != v {
						t.Errorf("%s: a write of %q changed %q from %s to %s", format, key, k, v, after[k])
					}
				}
				if len(after) != len(before) {
					t.Errorf("%s: %d records became %d", format, len(before), len(after))
				}
				break
			}
		}
	})
}

// versions is the version of every record by key.
func versions(t *testing.T, conn connectors.Connection) (map[string]string, connectors.Collection, error) {
	col, err := conn.Collection(t.Context(), "x")
	if err != nil {
		return nil, nil, err
	}
	path := "title"
	if s, err := col.(connectors.Describer).Describe(t.Context()); err == nil {
		if _, ok := s.Field(path); !ok && !s.Open {
			path = s.Key
		}
	}
	got := map[string]string{}
	_, err = col.Scan(t.Context(), connectors.Query{Paths: []string{path}}, func(r record.Record) error {
		got[r.Key] = r.Version
		return nil
	})
	return got, col, err
}

func known(t *testing.T, format string, err error) {
	t.Helper()
	for _, kind := range []error{connectors.ErrProtocol, connectors.ErrConfig, connectors.ErrRefused, connectors.ErrNotFound} {
		if errors.Is(err, kind) {
			return
		}
	}
	t.Errorf("%s: an error of no kind: %v", format, err)
}

// accepted compares the number of records with what the standard library finds. It is stricter in places, but
// never may we see fewer.
func accepted(t *testing.T, format string, content []byte, n int) {
	t.Helper()
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	switch format {
	case "json":
		var rs []json.RawMessage
		if err := json.Unmarshal(content, &rs); err == nil && len(rs) != n {
			t.Errorf("json: %d records, want %d", n, len(rs))
		}
	case "ndjson":
		lines := 0
		for line := range strings.Lines(string(content)) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		if lines != n {
			t.Errorf("ndjson: %d records, want %d", n, lines)
		}
	case "csv":
		r := csv.NewReader(bytes.NewReader(content))
		if rows, err := r.ReadAll(); err == nil && len(rows) != n+1 {
			t.Errorf("csv: %d records, want %d", n, len(rows)-1)
		}
	}
}

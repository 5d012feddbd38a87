package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/engine/record"
)

// real gives the settings of a live system from the environment, and skips where they are not set.
func real(t *testing.T, names ...string) []string {
	t.Helper()
	var values []string
	for _, n := range names {
		v := os.Getenv(n)
		if v == "" {
			t.Skipf("%s is not set: there is no live system to test against", n)
		}
		values = append(values, v)
	}
	return values
}

// A person works with a live system's API directly.
type person struct {
	url    string
	header [2]string
}

// do sends a request and returns the decoded answer.
func (p *person) do(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(p.header[0], p.header[1])
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out map[string]any
	var raw bytes.Buffer
	_, _ = raw.ReadFrom(res.Body)
	if res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s", method, path, res.Status, raw.String())
	}
	_ = json.Unmarshal(raw.Bytes(), &out) // some answers are a list, or nothing
	return out
}

func TestRedmine(t *testing.T) {
	env := real(t, "FIELDSYNC_REDMINE_URL", "FIELDSYNC_REDMINE_KEY", "FIELDSYNC_REDMINE_ADMIN_KEY", "FIELDSYNC_REDMINE_PROJECT")
	admin := &person{env[0], [2]string{"X-Redmine-API-Key", env[2]}}
	src := fmt.Sprintf("system = \"redmine\"\nurl = %q\nsettings = { project = %q }\nauth \"header\" { key = %q }\n", env[0], env[3], env[2])
	empty := func(t *testing.T) {
		for {
			list := admin.do(t, "GET", "/issues.json?status_id=*&limit=100&project_id="+env[3], nil)["issues"].([]any)
			if len(list) == 0 {
				return
			}
			for _, i := range list {
				admin.do(t, "DELETE", fmt.Sprintf("/issues/%v.json", i.(map[string]any)["id"]), nil)
			}
		}
	}
	issue := func(f record.Fields) map[string]any {
		out := map[string]any{}
		for p, v := range f {
			if p == "custom_fields.External ID" {
				out["custom_fields"] = []any{map[string]any{"id": 1, "value": v.Any()}}
			} else {
				out[p] = v.Any()
			}
		}
		return map[string]any{"issue": out}
	}
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"subject", "id", "custom_fields.External ID", "status", "priority", "done_ratio", "description", "assigned_to_id", "updated_on"},
		Sample: func(i int) record.Fields {
			return record.Fields{"subject": record.OfText("line " + strconv.Itoa(i)), "custom_fields.External ID": record.OfText("T-" + strconv.Itoa(i)),
				"description": record.OfText("text " + strconv.Itoa(i)), "done_ratio": record.OfInt(int64(i % 10 * 10))}
		},
		Marker: "custom_fields.External ID", Text: "description", Thread: "notes", Edits: true, Files: "attachments",
		Missing:     func(i int) string { return strconv.Itoa(90000000 + i) },
		Incremental: true,
		Open: func(t *testing.T) connectortest.System {
			empty(t)
			conn := connect(t, src)
			col, err := conn.Collection(t.Context(), "issues")
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Collection: col, Connection: conn,
				Add: func(t *testing.T, f record.Fields) string {
					b := issue(f)
					b["issue"].(map[string]any)["project_id"] = env[3]
					made := admin.do(t, "POST", "/issues.json", b)["issue"].(map[string]any)
					return fmt.Sprintf("%.0f", made["id"])
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					admin.do(t, "PUT", "/issues/"+key+".json", issue(f))
				},
				Remove: func(t *testing.T, key string) { admin.do(t, "DELETE", "/issues/"+key+".json", nil) },
			}
		},
	})
}

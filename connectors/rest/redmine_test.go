package rest_test

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/rest/resttest"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestMain(m *testing.M) { os.Exit(resttest.Main(m).Run()) }

func TestRedmine(t *testing.T) {
	t.Parallel()
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
			desk := resttest.Redmine(t)
			conn := connect(t, fmt.Sprintf("system = \"redmine\"\nurl = %q\nsettings = { project = %q }\nauth \"header\" { key = %q }\n", desk.URL, desk.Place, desk.Key))
			col, err := conn.Collection(t.Context(), "issues")
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Collection: col, Connection: conn,
				Add: func(t *testing.T, f record.Fields) string {
					b := issue(f)
					b["issue"].(map[string]any)["project_id"] = desk.Place
					var made struct{ Issue struct{ ID int } }
					desk.Admin.Do(t, http.MethodPost, "/issues.json", b, &made)
					return strconv.Itoa(made.Issue.ID)
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					desk.Admin.Do(t, http.MethodPut, "/issues/"+key+".json", issue(f), nil)
				},
				Remove: func(t *testing.T, key string) {
					desk.Admin.Do(t, http.MethodDelete, "/issues/"+key+".json", nil, nil)
				},
			}
		},
	})
}

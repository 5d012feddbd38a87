package rest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/rest/resttest"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestRequestTracker(t *testing.T) {
	t.Parallel()
	ticket := func(f record.Fields) map[string]any {
		out, custom := map[string]any{}, map[string]any{}
		for p, v := range f {
			if name, ok := strings.CutPrefix(p, "CustomFields."); ok {
				custom[name] = v.Plain()
			} else {
				out[p] = v.Any()
			}
		}
		out["CustomFields"] = custom
		return out
	}
	connectortest.Run(t, connectortest.Suite{
		Paths: []string{"Subject", "id", "CustomFields.External ID", "CustomFields.Details", "Status", "Priority", "Owner", "Due", "LastUpdated"},
		Sample: func(i int) record.Fields {
			return record.Fields{"Subject": record.OfText("line " + strconv.Itoa(i)), "CustomFields.External ID": record.OfText("T-" + strconv.Itoa(i)),
				"CustomFields.Details": record.OfText("text " + strconv.Itoa(i)), "Priority": record.OfInt(int64(i % 100))}
		},
		Marker: "CustomFields.External ID", Text: "CustomFields.Details", Thread: "comments", Files: "attachments", NoEmptyFiles: true,
		Missing:     func(i int) string { return strconv.Itoa(90000000 + i) },
		Incremental: true, Conditional: true,
		Open: func(t *testing.T) connectortest.System {
			desk := resttest.RequestTracker(t)
			conn := connect(t, fmt.Sprintf("system = \"rt\"\nurl = %q\nsettings = { queue = %q }\nauth \"header\" { key = %q }\n", desk.URL, desk.Place, desk.Key))
			col, err := conn.Collection(t.Context(), "tickets")
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Collection: col, Connection: conn,
				Add: func(t *testing.T, f record.Fields) string {
					b := ticket(f)
					b["Queue"] = desk.Place
					var made struct{ ID any }
					desk.Admin.Do(t, http.MethodPost, "/ticket", b, &made)
					return fmt.Sprint(made.ID)
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					desk.Admin.Do(t, http.MethodPut, "/ticket/"+key, ticket(f), nil)
				},
				Remove: func(t *testing.T, key string) {
					desk.Admin.Do(t, http.MethodDelete, "/ticket/"+key, nil, nil)
				},
			}
		},
	})
}

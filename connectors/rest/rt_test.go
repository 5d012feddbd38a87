package rest_test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestRequestTracker(t *testing.T) {
	env := real(t, "FIELDSYNC_RT_URL", "FIELDSYNC_RT_KEY", "FIELDSYNC_RT_ADMIN_KEY", "FIELDSYNC_RT_QUEUE")
	admin := &person{env[0] + "/REST/2.0", [2]string{"Authorization", "token " + env[2]}}
	src := fmt.Sprintf("system = \"rt\"\nurl = %q\nsettings = { queue = %q }\nauth \"header\" { key = %q }\n", env[0], env[3], env[2])
	empty := func(t *testing.T) {
		for {
			list := admin.do(t, "GET", "/tickets?per_page=100&query="+url.QueryEscape("Queue = '"+env[3]+"'"), nil)["items"].([]any)
			if len(list) == 0 {
				return
			}
			for _, i := range list {
				admin.do(t, "DELETE", fmt.Sprintf("/ticket/%v", i.(map[string]any)["id"]), nil)
			}
		}
	}
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
			empty(t)
			conn := connect(t, src)
			col, err := conn.Collection(t.Context(), "tickets")
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Collection: col, Connection: conn,
				Add: func(t *testing.T, f record.Fields) string {
					b := ticket(f)
					b["Queue"] = env[3]
					return fmt.Sprint(admin.do(t, "POST", "/ticket", b)["id"])
				},
				Edit:   func(t *testing.T, key string, f record.Fields) { admin.do(t, "PUT", "/ticket/"+key, ticket(f)) },
				Remove: func(t *testing.T, key string) { admin.do(t, "DELETE", "/ticket/"+key, nil) },
			}
		},
	})
}

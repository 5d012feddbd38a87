package rest_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/rest"
	"github.com/fieldsync/fieldsync/engine/record"
)

var _ connectors.Config = (*rest.Config)(nil)

func sample(i int) record.Fields {
	return record.Fields{
		"title":  record.OfText("line " + strconv.Itoa(i) + " is down"),
		"ref":    record.OfText("T-" + strconv.Itoa(i)),
		"weight": record.OfInt(int64(i)),
	}
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*model){
		"new records that take not all":                          func(m *model) { m.bare = true },
		"everything on one page, files in forms":                 func(m *model) {},
		"offset, answers with records, files as they are":        func(m *model) { m.paging, m.files = "offset", "raw" },
		"page number, ETag, files by token":                      func(m *model) { m.paging, m.etag, m.files = "number", true, "token" },
		"cursor, answers without body, files in base64":          func(m *model) { m.paging, m.silent, m.files = "cursor", true, "inside" },
		"link header, no Date, files at another server":          func(m *model) { m.paging, m.noDate, m.files = "link", true, "link" },
		"number, revisions named in writes, errors behind a 200": func(m *model) { m.paging, m.revs, m.soft = "number", true, true },
		"offset, ETag, batch, no body, files by token":           func(m *model) { m.paging, m.etag, m.silent, m.openTo, m.files = "offset", true, true, true, "token" },
	} {
		t.Run(name, func(t *testing.T) {
			shape := newModel()
			change(shape)
			connectortest.Run(t, connectortest.Suite{
				Paths: []string{"title", "id", "ref", "weight", "updated"}, Sample: sample, Marker: "ref", Text: "title", Thread: "notes", Edits: true, Files: "files",
				Missing:     func(i int) string { return strconv.Itoa(900000 + i) },
				Conditional: shape.etag || shape.revs, Incremental: true,
				Open: func(t *testing.T) connectortest.System {
					m := newModel()
					change(m)
					m.keepsElsewhere(t)
					conn := connect(t, m.describes(m.start(t)))
					col, err := conn.Collection(t.Context(), "items")
					if err != nil {
						t.Fatal(err)
					}
					s := connectortest.System{
						Collection: col, Connection: conn,
						Add:    func(_ *testing.T, f record.Fields) string { return m.add(f) },
						Edit:   func(_ *testing.T, key string, f record.Fields) { m.edit(key, f) },
						Remove: func(_ *testing.T, key string) { m.remove(key) },
						Pass:   func(_ *testing.T, d time.Duration) { m.pass(d) },
					}
					if m.noDate {
						s.Pass = nil // a tool that shows no clock delivers its newest changes again
					}
					return s
				},
			})
		})
	}
}

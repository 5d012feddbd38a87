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
		"everything on one page":       func(m *model) {},
		"offset, answers with records": func(m *model) { m.paging = "offset" },
		"page number, ETag":            func(m *model) { m.paging, m.etag = "number", true },
		"cursor, answers without body": func(m *model) { m.paging, m.silent = "cursor", true },
		"link header, no Date":         func(m *model) { m.paging, m.noDate = "link", true },
		"offset, ETag, no body, batch": func(m *model) { m.paging, m.etag, m.silent, m.openTo = "offset", true, true, true },
	} {
		t.Run(name, func(t *testing.T) {
			shape := newModel()
			change(shape)
			connectortest.Run(t, connectortest.Suite{
				Paths: []string{"title", "id", "ref", "weight", "updated"}, Sample: sample, Marker: "ref", Text: "title", Thread: "notes",
				Missing:     func(i int) string { return strconv.Itoa(900000 + i) },
				Conditional: shape.etag, Incremental: true,
				Open: func(t *testing.T) connectortest.System {
					m := newModel()
					change(m)
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

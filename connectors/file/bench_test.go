package file_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/file"
	"github.com/fieldsync/fieldsync/engine/record"
)

// incident is about 1.2 kB of JSON with 24 members, as an export of a ticketing system has them.
func incident(i int) string {
	return fmt.Sprintf(`{"sys_id":"%032x","number":"INC%07d","short_description":"Router %d in rack %d does not answer","description":"%s","state":"%d","priority":"3","impact":"2","urgency":"2","category":"network","subcategory":"router","caller_id":"6816f79cc0a8016401c5a33be04be441","assigned_to":"46d44a23a9fe19810012d100cca80666","assignment_group":"8a4dde73c6112278017a6a4baf547aa7","opened_at":"2026-01-02 03:04:05","opened_by":"admin","sys_created_on":"2026-01-02 03:04:05","sys_created_by":"admin","sys_updated_on":"2026-01-03 04:05:06","sys_updated_by":"itil","sys_mod_count":%d,"correlation_id":"T-%d","active":true,"close_code":null,"close_notes":""}`,
		i, i, i, i%97, strings.Repeat("The quick brown fox jumps over the lazy dog. ", 12), i%7, i%20, i)
}

var incidentPaths = []string{"short_description", "description", "state", "priority", "impact", "urgency", "assigned_to", "assignment_group", "correlation_id", "sys_mod_count", "active", "close_notes"}

func BenchmarkScan(b *testing.B) {
	const n = 50_000
	var nd, js, cs strings.Builder
	js.WriteString("[")
	cs.WriteString("sys_id," + strings.Join(incidentPaths, ",") + "\n")
	for i := range n {
		r := incident(i)
		nd.WriteString(r + "\n")
		if i > 0 {
			js.WriteByte(',')
		}
		js.WriteString("\n" + r)
		fmt.Fprintf(&cs, "%d%s\n", i, strings.Repeat(`,"a value, quoted, of some length to read"`, len(incidentPaths)))
	}
	js.WriteString("\n]\n")
	for _, c := range []struct{ name, content string }{{"ndjson", nd.String()}, {"json", js.String()}, {"csv", cs.String()}} {
		b.Run(c.name, func(b *testing.B) {
			col, _ := open(b, "incidents."+c.name, c.content, file.File{Key: "sys_id"})
			b.SetBytes(int64(len(c.content)))
			b.ReportAllocs()
			for b.Loop() {
				seen := 0
				if _, err := col.Scan(b.Context(), connectors.Query{Paths: incidentPaths}, func(record.Record) error { seen++; return nil }); err != nil || seen != n {
					b.Fatal(seen, err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
	b.Run("ndjson, read one", func(b *testing.B) {
		col, _ := open(b, "incidents.ndjson", nd.String(), file.File{Key: "sys_id"})
		b.SetBytes(int64(nd.Len()))
		key := []string{fmt.Sprintf("%032x", n/2)}
		for b.Loop() {
			seen := 0
			if err := col.Read(b.Context(), incidentPaths, key, func(record.Record) error { seen++; return nil }); err != nil || seen != 1 {
				b.Fatal(seen, err)
			}
		}
	})
}

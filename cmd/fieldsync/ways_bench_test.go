package main

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	snowsim "github.com/fieldsync/fieldsync/connectors/servicenow/sim"
)

// BenchmarkUpdatesOfAFarInstance writes 1,000 updates to an instance whose every answer takes 50 ms. ×ideal is the
// time against that of as many requests, eight at a time, as 1,000 reads and writes take at this batch size.
func BenchmarkUpdatesOfAFarInstance(b *testing.B) {
	const (
		updates = 1000
		flight  = 8
		way     = 50 * time.Millisecond
	)
	for _, batch := range []int{1, 25, 50} {
		b.Run(fmt.Sprintf("batch %d", batch), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newTroubledAt(b, func(s *snowsim.Server) http.Handler {
					return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						time.Sleep(way)
						s.ServeHTTP(rw, r)
					})
				})
				text := strings.Replace(faultsMapping, `rate = "1000/s"`, fmt.Sprintf("concurrency = %d", flight), 1)
				text = strings.Replace(text, "page_size = 40", fmt.Sprintf("page_size = 500\n  batch = %d", batch), 1)
				text = strings.Replace(text, "sync \"desk\" {", "sync \"desk\" {\n  limits {\n    creates = 5000\n    updates = 5000\n  }", 1)
				if err := os.WriteFile(filepath.Join(w.dir, "faults.hcl"), []byte(text), 0o600); err != nil {
					b.Fatal(err)
				}
				for i := range updates * 5 / 2 { // few enough move to be no surprise
					w.ticket(i)
					w.snow.Insert("incident", map[string]string{"correlation_id": fmt.Sprintf("T-%03d", i), "short_description": fmt.Sprintf("line %d is down", i), "urgency": fmt.Sprint(1 + i%3), "description": "since\nnoon"})
				}
				w.settle()
				w.now = w.now.Add(time.Hour)
				for i := range updates {
					w.edit(fmt.Sprintf("T-%03d", i), "title", "changed")
				}
				out, code := w.run("plan", "desk", "-o", filepath.Join(w.dir, "saved.plan"))
				if code != exitChanges {
					b.Fatalf("plan: %d\n%.2000s", code, out)
				}
				before, began := len(w.snow.Journal()), w.snow.Writes()
				b.StartTimer()
				start := time.Now()
				out, code = w.run("apply", filepath.Join(w.dir, "saved.plan"))
				took := time.Since(start)
				if code != exitOK || w.snow.Writes()-began != updates {
					b.Fatalf("apply: %d, %d writes\n%.2000s", code, w.snow.Writes()-began, out)
				}
				scan := 0 // requests of the run that neither read nor write one record
				for _, r := range w.snow.Journal()[before:] {
					if r.Method == http.MethodGet && !strings.Contains(r.Query, "sys_idIN") {
						scan++
					}
				}
				rounds := math.Ceil(float64(updates)/float64(batch)/flight) * 2
				ideal := time.Duration(rounds)*way + time.Duration(scan)*way
				b.ReportMetric(took.Seconds(), "s")
				b.ReportMetric(took.Seconds()/ideal.Seconds(), "×ideal")
				b.ReportMetric(float64(len(w.snow.Journal())-before), "requests")
			}
		})
	}
}

// newTroubledAt is newTroubled behind a handler of the caller's.
func newTroubledAt(b *testing.B, wrap func(*snowsim.Server) http.Handler) *troubled {
	b.Helper()
	w := newTroubled(b, 1)
	srv := httptest.NewServer(wrap(w.snow))
	b.Cleanup(srv.Close)
	w.env["SNOW_URL"] = srv.URL
	return w
}

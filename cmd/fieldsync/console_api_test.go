package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/fieldsync/fieldsync/engine/console"
)

// TestEveryAnswerIsWhatTheAPIFileSays asks a site in which everything that can be shown is there, and holds each answer
// to the file that the service itself serves.
func TestEveryAnswerIsWhatTheAPIFileSays(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(name, text string) string {
		return strings.Replace(text, "creates = 200", "creates = 4", 1)
	})
	s.serve()
	text, _ := s.get("/api/v1/openapi.json")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	holds := func(method, route, body string, code int) {
		t.Helper()
		op := doc.Paths.Value("/api/v1" + route).GetOperation(method)
		answer := op.Responses.Value("200")
		if code != http.StatusOK {
			answer = op.Responses.Default()
		}
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatalf("%s %s: %v in %s", method, route, err, body)
		}
		if err := answer.Value.Content.Get("application/json").Schema.Value.VisitJSON(v, openapi3.MultiErrors()); err != nil {
			t.Errorf("%s %s answers %d with what the file does not describe: %v\n%s", method, route, code, err, body)
		}
		asked[method+" "+route] = true
	}
	get := func(route, path string, want int) string {
		t.Helper()
		body, code := s.get("/api/v1" + path)
		if code != want {
			t.Errorf("GET %s: %d, want %d: %s", path, code, want, body)
		}
		holds("GET", route, body, code)
		return body
	}
	post := func(route, path string, want int, fields ...string) {
		t.Helper()
		body, code := s.post(path, fields...)
		if code != want {
			t.Errorf("POST %s: %d, want %d: %s", path, code, want, body)
		}
		holds("POST", route, body, code)
	}
	pages := func() {
		t.Helper()
		for _, p := range [][2]string{
			{"/overview", "/overview"}, {"/syncs/{sync}", mainSync}, {"/syncs/{sync}", "/syncs/incident_to_property"}, {"/syncs/{sync}/preview", mainSync + "/preview"},
			{"/runs", "/runs"}, {"/runs", "/runs?sync=ticket_to_incident&before=2"}, {"/conflicts", "/conflicts"}, {"/holds", "/holds"}, {"/holds", "/holds?skip=1"},
			{"/search", "/search"}, {"/search", "/search?q=T-"}, {"/connections", "/connections"}, {"/acts", "/acts"}, {"/mappings", "/mappings"}, {"/mappings/{file}", "/mappings/tests.hcl"},
		} {
			get(p[0], p[1], http.StatusOK)
		}
	}
	pages() // nothing has run yet
	get("/runs/{id}", "/runs/1", http.StatusNotFound)
	if body, code := s.get("/api/v1/nothing"); code != http.StatusNotFound || !strings.HasPrefix(body, `{"error":"not found: nothing answers GET /api/v1/nothing; `) {
		t.Errorf("a path of the API that is not there answers %d %s", code, body)
	}
	if body, code := s.get("/nothing"); code != http.StatusNotFound || !strings.Contains(body, "nothing answers GET /nothing") || !strings.Contains(body, "<nav") {
		t.Errorf("a page that is not there answers %d %s", code, body)
	}
	s.run()
	s.tell(`UPDATE tickets SET priority = 1, title = 'Certificate' WHERE id = 'T-1004'`)
	s.tell(`UPDATE tickets SET status = 'nonsense' WHERE id = 'T-1003'`)
	s.work("T-1004", map[string]string{"impact": "3", "urgency": "3"})
	second := s.run().LastRun.ID
	s.tell(`INSERT INTO tickets (id, title, queue) VALUES ('T-1', 'one', 'noc'), ('T-2', 'two', 'noc'), ('T-3', 'three', 'noc'), ('T-4', 'four', 'noc'), ('T-5', 'five', 'noc')`)
	stopped := s.run()
	if stopped.Waits == nil || stopped.Conflicts != 1 || stopped.Held != 1 {
		t.Fatalf("the site has not everything to show: %+v", stopped)
	}
	post("/syncs/{sync}/preview", mainSync+"/preview", http.StatusOK)
	s.until("the preview is made", func() bool {
		return strings.Contains(get("/syncs/{sync}/preview", mainSync+"/preview", http.StatusOK), `"footer"`)
	})
	post("/connections/{name}/check", "/connections/prod/check", http.StatusOK)
	post("/connections/{name}/check", "/connections/nowhere/check", http.StatusNotFound)
	s.edit("tests.hcl", func(text string) string { return text + "\nsink {}\n" })
	s.until("the edit is seen", func() bool { return strings.Contains(get("/mappings", "/mappings", http.StatusOK), "sink") })
	pages()
	if body := get("/holds", "/holds", http.StatusOK); !strings.Contains(body, `"path":"status"`) {
		t.Errorf("a hold is shown without its values: %s", body)
	}
	for _, id := range []string{"1", "2", "3"} {
		get("/runs/{id}", "/runs/"+id, http.StatusOK)
	}
	post("/syncs/{sync}/approve", mainSync+"/approve", http.StatusUnprocessableEntity, "digest", "0123")
	post("/syncs/{sync}/approve", mainSync+"/approve", http.StatusOK, "digest", stopped.Waits.Digest)
	get("/record", "/record?sync=ticket_to_incident&key=T-1003", http.StatusOK)
	story := get("/record", "/record?sync=ticket_to_incident&key=T-1004", http.StatusOK)
	var record struct{ Story []console.Event }
	if err := json.Unmarshal([]byte(story), &record); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(record.Story, func(e console.Event) bool { return e.Path == "short_description" && e.To.ID != 0 })
	if i < 0 {
		t.Fatalf("nothing can be restored: %s", story)
	}
	value := "/restore/" + jsonNumber(record.Story[i].To.ID)
	get("/restore/{id}", value, http.StatusOK)
	get("/restore/{id}", "/restore/999", http.StatusNotFound)
	post("/restore/{id}", value, http.StatusOK, "why", "a test")
	post("/restore/{id}", value, http.StatusUnprocessableEntity)
	post("/syncs/{sync}/resolve", mainSync+"/resolve", http.StatusBadRequest, "key", "T-1004", "field", "priority")
	post("/syncs/{sync}/resolve", mainSync+"/resolve", http.StatusUnprocessableEntity, "key", "T-1004", "field", "summary", "take", "ticket")
	post("/syncs/{sync}/resolve", mainSync+"/resolve", http.StatusOK, "key", "T-1004", "field", "priority", "take", "ticket")
	post("/syncs/{sync}/pause", mainSync+"/pause", http.StatusOK, "why", "a test")
	post("/syncs/{sync}/resume", mainSync+"/resume", http.StatusOK)
	post("/syncs/{sync}/run", mainSync+"/run", http.StatusOK, "again", "true")
	pages()
	// Runs of before a restart are told from the history.
	s.until("the run is over", func() bool { return strings.Contains(get("/syncs/{sync}", mainSync, http.StatusOK), `"conflicts":0`) })
	s.stop()
	s.edit("tests.hcl", func(text string) string { return strings.ReplaceAll(text, "\nsink {}\n", "") })
	s.serve()
	if body := get("/runs/{id}", "/runs/"+jsonNumber(second), http.StatusOK); !strings.Contains(body, "Told from the history") || !strings.Contains(body, `"to":"Certificate"`) {
		t.Errorf("the run is not told from the history: %s", body)
	}

	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if route := method + " " + strings.TrimPrefix(path, "/api/v1"); !asked[route] {
				t.Errorf("%s was never asked", route)
			}
		}
	}
}

func jsonNumber(n int64) string {
	b, _ := json.Marshal(n) // a number always encodes
	return string(b)
}

func TestActsTakeFormsAndJSONAndRefuseTheRest(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.serve()
	for _, tt := range []struct {
		name, path, kind, body string
		want                   int
	}{
		{"JSON", mainSync + "/pause", "application/json", `{"why": "a test"}`, 200},
		{"a form", mainSync + "/resume", "application/x-www-form-urlencoded", "why=a+test", 200},
		{"nothing", mainSync + "/resume", "", "", 200},
		{"JSON of something else", mainSync + "/pause", "application/json", `["why"]`, 400},
		{"half of it", mainSync + "/pause", "application/json", `{"why": `, 400},
		{"another type", mainSync + "/pause", "text/plain", "why", 415},
		{"a field that there is not", mainSync + "/pause", "application/json", `{"reason": "a test"}`, 400},
		{"a reason without end", mainSync + "/pause", "application/x-www-form-urlencoded", "why=" + strings.Repeat("a", 3000), 400},
		{"too much", mainSync + "/pause", "application/x-www-form-urlencoded", "why=" + strings.Repeat("a", 2<<20), 413},
		{"a sync that there is not", "/syncs/nobody/pause", "", "", 404},
		{"a name with a way up", "/syncs/" + url.PathEscape("../etc") + "/pause", "", "", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := http.Post(s.url+"/api/v1"+tt.path, tt.kind, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var b bytes.Buffer
			_, _ = b.ReadFrom(resp.Body) // what came is what is shown
			if resp.StatusCode != tt.want {
				t.Errorf("%d, want %d: %s", resp.StatusCode, tt.want, b.String())
			}
		})
	}
	for _, path := range []string{"/runs?before=x", "/conflicts?skip=-1", "/conflicts?skip=99999999999", "/record", "/record?sync=ticket_to_incident"} {
		if body, code := s.get("/api/v1" + path); code != 400 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for _, path := range []string{"/syncs/x", "/runs/0", "/runs/x", "/mappings/..%2Ffieldsync.db", "/mappings/fieldsync.db", "/runs?sync=x", "/record?sync=ticket_to_incident&key=x"} {
		if body, code := s.get("/api/v1" + path); code != 404 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	// A form comes back to a page of this service, whatever it says.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for back, want := range map[string]string{"/holds?sync=x": "/holds?said=run&sync=x", "//evil.example/": mainSync + "?said=run", `/\evil.example`: mainSync + "?said=run", "https://evil.example": mainSync + "?said=run"} {
		resp, err := client.PostForm(s.url+mainSync+"/run", url.Values{"back": {back}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("back=%q leads to %q, want %q", back, got, want)
		}
	}
}

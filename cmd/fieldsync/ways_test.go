package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// byToken logs in with OAuth instead of a password.
const byToken = `auth "oauth" {
    grant         = "client_credentials"
    client_id     = "fieldsync"
    client_secret = env("SNOW_PASSWORD")
  }`

// TestFaultsLoseAndDoubleNothingOnOtherWays is TestFaultsAtARateLoseAndDoubleNothing on the other ways into an
// instance: tokens that end, batches that are cut, import sets whose rows fail.
func TestFaultsLoseAndDoubleNothingOnOtherWays(t *testing.T) {
	const tickets = 60
	for _, way := range []struct {
		name     string
		change   []string // in the mapping, as old and new in turn
		switches []string
		faults   []string
		uses     string // path of the API that has to be used
	}{
		{"tokens and batches",
			[]string{"auth \"basic\" {\n    username = \"admin\"\n    password = env(\"SNOW_PASSWORD\")\n  }", byToken + "\n  batch = 15"},
			[]string{"token-life=40s"},
			[]string{"revoked:incident:rate=0.05", "503:oauth_token:rate=0.1", "batch-cut:batch:rate=0.3", "500-after:batch:rate=0.1", "reset-after:batch:rate=0.1",
				"reset-before:batch:rate=0.1", "500-after:writes incident:rate=0.03", "500-before:writes incident:rate=0.03", "cut-broken:writes incident:rate=0.02",
				"cut-broken:GET incident:rate=0.05", "429:batch:rate=0.1"},
			"/api/now/v1/batch"},
		{"an import set",
			[]string{"  limits {\n    rate = \"1000/s\"\n  }\n}", "  limits {\n    rate = \"1000/s\"\n  }\n  collection \"incident\" {\n    import_set = \"u_staging_incident\"\n    columns    = { short_description = \"u_title\" }\n  }\n}"},
			[]string{"import-set=u_staging_incident:incident:correlation_id", "import-field=u_staging_incident.u_title:short_description"},
			[]string{"500-after:u_staging_incident:rate=0.1", "reset-after:u_staging_incident:rate=0.1", "504-after:u_staging_incident:rate=0.05", "500-before:u_staging_incident:rate=0.1",
				"reset-before:u_staging_incident:rate=0.05", "cut-broken:u_staging_incident:rate=0.05", "429:u_staging_incident:rate=0.05", "cut-broken:GET incident:rate=0.05", "503:GET incident:rate=0.03"},
			"/api/now/import/u_staging_incident"},
	} {
		t.Run(way.name, func(t *testing.T) {
			w := newTroubled(t, 3)
			text := faultsMapping
			for i := 0; i < len(way.change); i += 2 {
				if !strings.Contains(text, way.change[i]) {
					t.Fatalf("the mapping has no %q", way.change[i])
				}
				text = strings.Replace(text, way.change[i], way.change[i+1], 1)
			}
			if err := os.WriteFile(filepath.Join(w.dir, "faults.hcl"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, "oauth") {
				w.env["SNOW_PASSWORD"] = "client-secret"
			}
			for _, s := range way.switches {
				if err := w.snow.Switch(s); err != nil {
					t.Fatal(err)
				}
			}
			for i := range tickets {
				w.ticket(i)
			}
			w.fault(way.faults...)
			runs := w.settle()
			want := map[string][2]string{} // title, urgency
			for i, inc := range w.snow.All("incident") {
				id := inc["correlation_id"]
				v := [2]string{inc["short_description"], inc["urgency"]}
				if i%2 == 0 {
					v[0] += " again"
					w.edit(id, "title", v[0])
				}
				if i%6 == 0 {
					v[1] = "2"
					w.seen(inc, map[string]string{"urgency": v[1]})
				}
				want[id] = v
			}
			runs += w.settle()
			struck := w.struck()
			w.snow.Calm()
			w.settle()
			w.check(tickets)
			for id, v := range want {
				inc := w.snow.Find("incident", "correlation_id", id)[0]
				if got := [2]string{inc["short_description"], inc["urgency"]}; got != v {
					t.Errorf("%s shows %q, want what was last written: %q", id, got, v)
				}
			}
			used := 0
			for _, r := range w.snow.Journal() {
				if r.Path == way.uses {
					used++
				}
			}
			t.Logf("%d runs, %d requests, %d of them to %s, faults: %v", runs, w.snow.Requests(), used, way.uses, struck)
			if used < 5 || len(struck) < 4 {
				t.Errorf("%s was used %d times, and %v struck", way.uses, used, struck)
			}
		})
	}
}

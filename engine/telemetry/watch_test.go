package telemetry_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/telemetry"
)

// The dashboard and the alerting rules ask for metrics and labels that there are.
func TestWhatWatchesAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	v := telemetry.Vital{Sync: "s", Sides: [2]string{"a", "b"}, Carried: [2]time.Time{time.Now(), time.Now()}}
	m := telemetry.NewMetrics("1", func(context.Context) ([]telemetry.Vital, int64, error) { return []telemetry.Vital{v}, 1, nil }, slog.New(slog.DiscardHandler))
	m.Ran(plan.Run{Sync: "s"})
	m.Acted("s", plan.Result{})
	m.Sent("c", "GET", 200, 0, 0)
	m.Hooked("c", "woke")
	labels := map[string][]string{}
	for _, line := range strings.Split(scrape(t, m), "\n") {
		if found := regexp.MustCompile(`^(\w+)(?:\{(.*)\})? `).FindStringSubmatch(line); found != nil {
			labels[found[1]] = append(labels[found[1]], "instance", "job") // those that Prometheus adds
			for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(found[2], -1) {
				labels[found[1]] = append(labels[found[1]], l[1])
			}
		}
	}
	for _, name := range []string{"watch/alerts.yaml", "watch/grafana.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		asked := regexp.MustCompile(`\b((?:fieldsync|process)_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(string(text), -1)
		if len(asked) < 8 {
			t.Fatalf("%s asks for %d metrics only", name, len(asked))
		}
		for _, a := range asked {
			if labels[a[1]] == nil {
				t.Errorf("%s asks for %s, which there is not", name, a[1])
			}
			for _, l := range regexp.MustCompile(`(\w+)(?:=~?|!=)`).FindAllStringSubmatch(a[2], -1) {
				if !slices.Contains(labels[a[1]], l[1]) {
					t.Errorf("%s asks for %s by %s, which it does not have", name, a[1], l[1])
				}
			}
		}
	}
	text, err := os.ReadFile("watch/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) {
		t.Error("the dashboard is not JSON")
	}
}

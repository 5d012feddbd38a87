package main

import (
	"strings"
	"testing"
)

// everyPage visits each page of a site that has run.
func everyPage() []string {
	return []string{"/", mainSync, "/syncs/incident_to_property", mainSync + "/preview", "/runs", "/runs?sync=ticket_to_incident", "/runs/1", "/conflicts", "/holds",
		"/record?sync=ticket_to_incident&key=T-1003", "/search?q=T-1", "/connections", "/mappings", "/mappings/ticket_to_incident.hcl", "/restore/1"}
}

func TestPagesInABrowser(t *testing.T) {
	browser := newBrowser(t)
	s := newSite(t, nil)
	s.serve()
	s.run()
	s.tell(`UPDATE tickets SET status = 'resolved', resolution = 'Replaced the SFP' WHERE id = 'T-1001'`)
	s.tell(`UPDATE tickets SET priority = 1 WHERE id = 'T-1004'`)
	s.work("T-1004", map[string]string{"impact": "3", "urgency": "3"})
	s.run()

	t.Run("no page complains, and each has a title, a heading and names", func(t *testing.T) {
		b := open(t, browser, s.url)
		for _, path := range everyPage() {
			b.visit(path)
			if h := ask[int](b, `document.querySelectorAll("h1").length`); h != 1 {
				t.Errorf("%s has %d headings", path, h)
			}
			if n := ask[[]string](b, nameless); len(n) > 0 {
				t.Errorf("%s: these have no name: %s", path, strings.Join(n, "\n"))
			}
			name := strings.NewReplacer("/", "-", "?", "-", "&", "-", "=", "-").Replace(strings.Trim(path, "/"))
			if name == "" {
				name = "overview"
			}
			b.shot("light-" + name)
		}
	})
}

// nameless finds controls that a screen reader could not name.
const nameless = `[...document.querySelectorAll("a, button, input:not([type=hidden]), select, svg[role=img], [role=region]")].filter(e =>
	!(e.innerText || "").trim() && !e.textContent.trim() && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby") && !(e.labels && e.labels.length)).map(e => e.outerHTML.slice(0, 200))`

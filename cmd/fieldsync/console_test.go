package main

import (
	"fmt"
	"html"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine/access"
	"github.com/fieldsync/fieldsync/engine/console"
)

// everyPage visits each page of a site that has run.
func everyPage() []string {
	return []string{"/", mainSync, "/syncs/incident_to_property", mainSync + "/preview", "/runs", "/runs?sync=ticket_to_incident", "/runs/1", "/conflicts", "/holds",
		"/record?sync=ticket_to_incident&key=T-1003", "/search?q=T-1", "/connections", "/acts", "/mappings", "/mappings/ticket_to_incident.hcl", "/restore/1"}
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

func TestComplaintsOfPagesAreHeard(t *testing.T) {
	browser := newBrowser(t)
	s := newSite(t, nil)
	s.serve()
	b := open(t, browser, s.url)
	b.expect = true
	b.visit("/")
	_ = ask[bool](b, `document.body.setAttribute("style", "color: red"), setTimeout(() => { throw new Error("planted") }), fetch("/nowhere"), fetch("http://127.0.0.2/").catch(() => 0), true`)
	s.until("the page complains", func() bool {
		said := strings.Join(b.complaints(), "\n")
		for _, want := range []string{"style-src", "planted", "404", "connect-src"} {
			if !strings.Contains(said, want) {
				return false
			}
		}
		return true
	})
}

func TestActsInABrowser(t *testing.T) {
	browser := newBrowser(t)

	t.Run("a run is watched while it runs", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		pass := s.shut()
		defer pass()
		s.serve()
		b := open(t, browser, s.url)
		b.visit(mainSync)
		b.click(`//button[normalize-space()="Run now"]`)
		b.sees("A run was asked for", "carry out", "Watch run 1")
		b.click(`//a[contains(., "Watch run 1")]`)
		b.sees("Run 1", "running", `"Router 7 down"`, "Input bitrate low on IRD 7")
		if said := b.text(); strings.Contains(said, "done as") {
			t.Errorf("something is done although nothing can be written:\n%s", said)
		}
		b.shot("live-running")
		pass()
		b.sees("done as INC", "ok") // without anybody asking for the page again
		b.shot("live-done")
		if n := len(s.snow.Find("incident", "correlation_id", "T-1001")); n != 1 {
			t.Errorf("%d incidents of T-1001", n)
		}
	})

	t.Run("a preview shows what a run would do, and writes nothing", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.serve()
		writes := s.snow.Writes()
		b := open(t, browser, s.url)
		b.visit("/")
		b.click(`//a[normalize-space()="ticket_to_incident"]`)
		b.click(`//button[normalize-space()="Preview"]`)
		b.sees("Preview of ticket_to_incident", "4 creates", `"Fan <script>alert(1)</script> & \"failure\" in rack 12"`, "(number of the new incident)", "Asked for by loopback")
		b.shot("preview")
		if n := s.snow.Writes(); n != writes {
			t.Errorf("a preview wrote %d times", n-writes)
		}
		var runs console.RunsPage
		if s.json("/runs", &runs); len(runs.Runs) != 0 {
			t.Errorf("a preview counts as a run: %v", runs.Runs)
		}
	})

	t.Run("a decision of a conflict ends in both systems", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.serve()
		s.run()
		s.tell(`UPDATE tickets SET priority = 1 WHERE id = 'T-1004'`)
		s.work("T-1004", map[string]string{"impact": "3", "urgency": "3"})
		s.run()
		b := open(t, browser, s.url)
		b.visit("/")
		b.sees("1 conflict waits")
		b.shot("overview-conflict")
		b.click(`//nav//a[normalize-space()="Conflicts"]`)
		b.sees("T-1004", "priority", "Both agreed on", "ticket now", "incident now")
		b.shot("conflict")
		b.fill(`form:has(input[value="incident"]) input[name="why"]`, "the duty manager said so")
		b.click(`//button[starts-with(normalize-space(), "Take incident")]`)
		b.sees("Decided by loopback", "incident wins")
		b.click(`//button[starts-with(normalize-space(), "Run ticket_to_incident now")]`)
		s.until("both systems have the decision", func() bool { return s.ticket("T-1004", "priority") == "5" })
		if inc := s.incident("T-1004"); inc["impact"] != "3" || inc["urgency"] != "3" {
			t.Errorf("the incident has %s and %s", inc["impact"], inc["urgency"])
		}
		s.until("the run has settled it", func() bool { // which comes after its writes
			var waiting console.WaitingPage
			s.json("/conflicts", &waiting)
			return len(waiting.List) == 0
		})
		b.visit("/conflicts")
		b.sees("No conflicts wait.")
		s.accounted("resolve", "the duty manager said so")
	})

	t.Run("a stopped plan is looked at, approved, and carried out", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, func(name, text string) string { return strings.Replace(text, "creates = 200", "creates = 2", 1) })
		s.serve()
		if st := s.run(); st.Waits == nil {
			t.Fatal("no plan was stopped")
		}
		b := open(t, browser, s.url)
		b.visit("/")
		b.sees("a plan was stopped by a limit")
		b.click(`//a[normalize-space()="look at it"]`)
		b.sees("A plan waits for approval", "creates")
		b.shot("stopped")
		b.click(`//button[normalize-space()="Preview"]`)
		b.sees("This plan is stopped", "4 creates")
		b.fill(`input[name="why"]`, "first load")
		b.click(`//button[normalize-space()="Approve this plan"]`)
		b.sees("A stopped plan is approved", "Approved by loopback")
		if n := len(s.snow.Find("incident", "correlation_id", "T-1001")); n != 0 {
			t.Errorf("an approval alone wrote %d incidents", n)
		}
		b.click(`//button[normalize-space()="Run now"]`)
		s.until("the approved plan is carried out", func() bool { return s.ticket("T-1001", "incident_number") != "" })
		s.accounted("approve", "first load")
	})

	t.Run("a value is restored", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.serve()
		s.run()
		s.tell(`UPDATE tickets SET title = 'Router 7 is up' WHERE id = 'T-1001'`)
		s.run()
		b := open(t, browser, s.url)
		b.visit("/")
		b.keys("/") // goes to the search
		if got := ask[string](b, `document.activeElement.id`); got != "find" {
			t.Errorf("the focus is on %q", got)
		}
		_ = ask[string](b, `document.activeElement.value = ""`) // the protocol types the key although the page declined it
		b.keys("T-1001\r")
		b.sees("T-1001 ⇄ INC")
		b.click(`//a[contains(., "T-1001 ⇄ INC")]`)
		b.sees("What happened to its values", `"Router 7 is up"`, `"Router 7 down"`, "rule summary", "ticket_to_incident.hcl:26")
		b.shot("record")
		b.click(`//li[contains(., "incident.short_description")]//a[starts-with(normalize-space(), "Restore")]`)
		b.sees("Restore a value", "replaced by rule summary", `"Router 7 down"`)
		b.shot("restore")
		b.fill(`input[name="why"]`, "it is not")
		b.click(`//button[contains(., "Write it to incident")]`)
		b.sees("Restored")
		if v := s.incident("T-1001")["short_description"]; v != "Router 7 down" {
			t.Errorf("the incident says %q", v)
		}
		s.run()
		if v := s.ticket("T-1001", "title"); v != "Router 7 down" {
			t.Errorf("the ticket says %q after the next run", v)
		}
		s.accounted("restore", "it is not")
	})

	t.Run("a broken edit of the mapping is shown, and mended", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.serve()
		b := open(t, browser, s.url)
		b.visit("/mappings")
		b.sees("The files were not edited")
		s.edit("ticket_to_incident.hcl", func(text string) string { return strings.Replace(text, `"highest"`, `"higest"`, 1) })
		b.sees("broken", "last good rules keep running", "highest", "The edit that could not be taken over") // by itself
		b.shot("broken")
		b.click(`//th/a[normalize-space()="ticket_to_incident.hcl"]`)
		b.until("the word is marked", func() bool { return ask[bool](b, `document.querySelector(".wrong mark") !== null`) })
		if got := ask[string](b, `document.querySelector(".wrong mark").innerText`); got != "higest" && got != `"higest"` {
			t.Errorf("%q is underlined", got)
		}
		b.shot("broken-file")
		b.visit("/")
		b.sees("The edited mapping is broken")
		b.visit("/mappings")
		s.edit("ticket_to_incident.hcl", func(text string) string { return strings.Replace(text, `"higest"`, `"lowest"`, 1) })
		b.sees("in force", "The last edit, taken over", `conflict = "lowest"`)
		b.until("the banner is gone", func() bool { return !strings.Contains(b.text(), "The edited mapping is broken") })
		b.shot("mended")
	})

	t.Run("a system is checked", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.serve()
		b := open(t, browser, s.url)
		b.visit("/connections")
		b.sees("prod", "Not checked since the service began.")
		b.click(`//section[contains(., "prod")]//button`)
		b.sees("Checked")
		b.shot("connections")
	})

	t.Run("without a mouse", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.serve()
		b := open(t, browser, s.url)
		b.visit(mainSync)
		b.keys("\t")
		if got := ask[string](b, `document.activeElement.innerText`); got != "Skip to the content" {
			t.Fatalf("the first stop is %q", got)
		}
		b.keys("\r\t") // into the content, and past the way back
		b.until("Preview has the focus", func() bool {
			if ask[string](b, `document.activeElement.innerText`) == "Preview" {
				return true
			}
			if style := ask[string](b, `getComputedStyle(document.activeElement).outlineStyle`); style == "none" {
				t.Errorf("nobody sees that the focus is on %s", ask[string](b, `document.activeElement.outerHTML`))
			}
			b.keys("\t")
			return false
		})
		b.shot("keyboard")
		b.keys("\r")
		b.sees("Preview of ticket_to_incident", "4 creates")
	})

	t.Run("without JavaScript pages are read and forms work", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, nil)
		s.serve()
		b := open(t, browser, s.url)
		b.script(false)
		b.visit(mainSync)
		b.click(`//button[normalize-space()="Run now"]`)
		s.until("the run is over", func() bool { return s.ticket("T-1001", "incident_number") != "" })
		b.visit("/runs/1")
		b.sees("Run 1", "done as INC")
	})

	t.Run("who may look sees no button, and who may decide decides", func(t *testing.T) {
		t.Parallel()
		tokens, block := map[string]string{}, "\nserve {\n  loopback = \"nobody\"\n"
		for _, role := range []string{"look", "decide", "run"} {
			tokens[role] = access.NewToken()
			block += "  token \"" + role + "er\" {\n    hash = \"" + access.HashOf(tokens[role]).String() + "\"\n    role = \"" + role + "\"\n  }\n"
		}
		s := newSite(t, func(name, text string) string {
			if name == "connections.hcl" {
				return text + block + "}\n"
			}
			return text
		})
		s.serve()
		enter := func(role string) *tab {
			b := open(t, browser, s.url)
			b.visit(mainSync)
			b.sees("Log in", "Token")
			b.fill("#token", tokens[role])
			b.shot("login-" + role)
			b.click(`//button[normalize-space()="Log in"]`)
			b.sees("ticket_to_incident", "Rules", role+"er, may "+role)
			return b
		}
		buttons := `[...document.querySelectorAll("main button")].map(b => b.innerText.trim())`
		for _, tt := range []struct {
			role string
			want []string
		}{{"look", []string{}}, {"decide", []string{"Preview"}}, {"run", []string{"Preview", "Run now", "Pause"}}} {
			b := enter(tt.role)
			if d := cmp.Diff(tt.want, ask[[]string](b, buttons)); d != "" {
				t.Errorf("%s (-want +got):\n%s", tt.role, d)
			}
			// What has no button is refused all the same.
			code := ask[int](b, `fetch("`+mainSync+`/pause", {method: "POST"}).then(r => r.status)`)
			if may := tt.role == "run"; may != (code == 200) {
				t.Errorf("%s pauses a sync: %d", tt.role, code)
			}
			b.expect = tt.role != "run" // the refusal is told on the console of the browser
			b.click(`//button[normalize-space()="Log out"]`)
			b.sees("Log in")
			b.visit(mainSync)
			b.sees("Token")
		}
	})
}

func TestWhatIsSensitiveIsOnNoPage(t *testing.T) {
	t.Parallel()
	const value = "No route to site B"
	s := newSite(t, func(name, text string) string {
		text = strings.Replace(text, `incident = "description"`, "incident = \"description\"\n    sensitive = true", 1)
		text = strings.Replace(text, `conflict = "merge"`, `conflict = "ask"`, 1)
		text = strings.Replace(text, `env("SNOW_USER")`, `"console"`, 1)
		text = strings.Replace(text, `env("SNOW_PASSWORD")`, `"p&ss\"w<rd+1"`, 1)
		return text
	})
	// A credential that came into a record is hidden like every other.
	s.tell("UPDATE tickets SET title = ? WHERE id = 'T-1002'", "the password is "+consolePassword)
	s.serve()
	s.do(mainSync + "/preview")
	s.until("the preview is made", func() bool {
		body, _ := s.get("/api/v1" + mainSync + "/preview")
		return strings.Contains(body, `"footer"`)
	})
	search := func(when string) {
		t.Helper()
		pages := append(everyPage(), "/runs/2", "/runs/3", "/runs/4", "/runs/5", mainSync+"/preview", "/record?sync=ticket_to_incident&key=T-1001", "/record?sync=ticket_to_incident&key=T-1002", "/mappings/connections.hcl")
		for _, path := range pages {
			twin := "/api/v1" + path
			if path == "/" {
				twin = "/api/v1/overview"
			}
			for _, path := range []string{path, twin} {
				body, _ := s.get(path)
				body = html.UnescapeString(body)
				for _, secret := range []string{consolePassword, value, "No way to site B", "No path to site B", `p&ss\"w<rd+1`} {
					if strings.Contains(body, secret) {
						t.Errorf("%s, %s shows %q", when, path, secret)
					}
				}
			}
		}
	}
	search("before the first run")
	s.run()
	s.tell(`UPDATE tickets SET description = 'No way to site B' WHERE id = 'T-1001'`)
	s.run()
	s.tell(`UPDATE tickets SET description = 'No route to site B, again' WHERE id = 'T-1001'`)
	s.work("T-1001", map[string]string{"description": "No path to site B"})
	if st := s.run(); st.Conflicts != 1 {
		t.Fatalf("there is no conflict: %+v", st)
	}
	s.do("/connections/prod/check")
	search("with a conflict and a history")
	s.stop()
	s.serve()
	search("from the history")
	if body, _ := s.get("/conflicts"); !strings.Contains(body, "(sensitive)") {
		t.Errorf("the conflict is not shown at all:\n%s", body)
	}
}

func TestHeldThingsAreTriedAgainWhenAPersonAsks(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.serve()
	s.run()
	s.tell(`UPDATE tickets SET title = 'Fan tray', status = 'open' WHERE id = 'T-1003'`)
	s.refuse.Store(true)
	if st := s.run(); st.Held == 0 {
		t.Fatalf("nothing is held: %+v", st)
	}
	s.refuse.Store(false)
	if st := s.run(); st.Held == 0 {
		t.Fatalf("what is held was tried before its time: %+v", st)
	}
	body, _ := s.get("/holds")
	for _, want := range []string{"T-1003", "security constraints", "next try", "Try again now"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of holds does not say %s:\n%s", want, body)
		}
	}
	if st := s.run("again", "true"); st.Held != 0 || s.incident("T-1003")["short_description"] != "Fan tray" {
		t.Errorf("a person asked, and it was not tried again: %+v", st)
	}
	s.refuse.Store(true)
	s.tell(`UPDATE tickets SET title = 'Fan tray 2' WHERE id = 'T-1003'`)
	s.run()
	s.refuse.Store(false)
	s.tell(`ALTER TABLE tickets RENAME TO away`)
	s.run("again", "true")
	s.tell(`ALTER TABLE away RENAME TO tickets`)
	if st := s.run(); st.Held != 0 {
		t.Errorf("a person asked, the run could not look, and the next one did not try again: %+v", st)
	}
}

func TestLongListsAreShownInParts(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(name, text string) string { return strings.Replace(text, `"20/s"`, `"2000/s"`, 1) })
	for i := range 66 {
		s.tell("INSERT INTO tickets (id, title, queue) VALUES (?, 'one of many', 'noc')", fmt.Sprintf("T-2%03d", i))
	}
	s.serve()
	id := s.run().LastRun.ID
	var all int
	for skip, want := 0, 50; skip < 140; skip, want = skip+50, min(50, 140-skip-50) {
		var v struct {
			Run  struct{ Steps []console.Step }
			Page console.Pager
		}
		s.json(fmt.Sprintf("/runs/%d?skip=%d", id, skip), &v)
		if len(v.Run.Steps) != want || v.Page.Of != 140 {
			t.Errorf("from %d on there are %d of %d, want %d of 140", skip, len(v.Run.Steps), v.Page.Of, want)
		}
		all += len(v.Run.Steps)
	}
	if all != 140 { // 70 incidents, and their numbers on 70 tickets
		t.Errorf("%d of 140 steps are shown", all)
	}
	body, _ := s.get(fmt.Sprintf("/runs/%d", id))
	if n := strings.Count(body, `<li class="step`); n != 50 || !strings.Contains(body, "Further") {
		t.Errorf("a page shows %d steps", n)
	}
	var found console.SearchPage
	s.json("/search?q=T-2", &found)
	if len(found.Hits) != 50 || !found.More {
		t.Errorf("a search shows %d, more: %v", len(found.Hits), found.More)
	}
	s.json("/search?q=T-2005", &found)
	if len(found.Hits) != 1 || found.More {
		t.Errorf("a search for one shows %d, more: %v", len(found.Hits), found.More)
	}
}

func TestPagesOnAPhoneAndInTheDark(t *testing.T) {
	browser := newBrowser(t)
	s := newSite(t, nil)
	s.serve()
	s.run()
	s.tell(`UPDATE tickets SET priority = 1 WHERE id = 'T-1004'`)
	s.work("T-1004", map[string]string{"impact": "3", "urgency": "3"})
	s.run()
	// What goes wrong has its own colours: a refused write, a stopped plan, a system that cannot be asked, a broken edit.
	s.tell(`UPDATE tickets SET title = 'Fan tray' WHERE id = 'T-1003'`)
	s.refuse.Store(true)
	s.run()
	s.edit("ticket_to_incident.hcl", func(text string) string { return strings.Replace(text, "creates = 200", "creates = 0", 1) })
	s.until("the limit is taken over", func() bool { body, _ := s.get("/api/v1/mappings"); return strings.Contains(body, `"taken":true`) })
	s.tell(`INSERT INTO tickets (id, title, queue) VALUES ('T-1', 'one too many', 'noc')`)
	s.run()
	s.do(mainSync + "/preview")
	s.alarms.Close()
	s.do("/connections/noc/check")
	s.edit("ticket_to_incident.hcl", func(text string) string { return strings.Replace(text, `"highest"`, `"higest"`, 1) })
	s.until("the broken edit is seen", func() bool { body, _ := s.get("/"); return strings.Contains(body, "The edited mapping is broken") })
	for _, dark := range []bool{false, true} {
		for _, width := range []int64{1280, 360} {
			name := map[bool]string{false: "light", true: "dark"}[dark] + map[int64]string{1280: "-desk", 360: "-phone"}[width]
			t.Run(name, func(t *testing.T) {
				b := open(t, browser, s.url)
				b.size(width, 800)
				if dark {
					b.dark()
				}
				for _, path := range everyPage() {
					b.visit(path)
					if got := ask[bool](b, `matchMedia("(prefers-color-scheme: dark)").matches`); got != dark {
						t.Fatalf("dark is %v", got)
					}
					if over := ask[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
						t.Errorf("%s is %d pixels wider than the window: %v", path, over, ask[[]string](b, tooWide))
					}
					if pale := ask[[]string](b, contrast); len(pale) > 0 {
						t.Errorf("%s: too little contrast:\n%s", path, strings.Join(pale, "\n"))
					}
					b.shot(name + "-" + strings.NewReplacer("/", "-", "?", "-", "&", "-", "=", "-").Replace(strings.Trim(path, "/")))
				}
			})
		}
	}
}

// tooWide names what sticks out of the window and cannot be scrolled by itself.
const tooWide = `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, .sr")).slice(0, 5).map(e => e.outerHTML.slice(0, 160))`

// contrast names texts whose colour differs too little from what is behind them (WCAG 2: 4.5, or 3 for large ones).
const contrast = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return {r: m[0], g: m[1], b: m[2], a: m.length > 3 ? m[3] : 1} }
	const over = (f, b) => ({r: f.r*f.a + b.r*(1-f.a), g: f.g*f.a + b.g*(1-f.a), b: f.b*f.a + b.b*(1-f.a), a: 1})
	const light = c => { const l = v => (v /= 255) <= 0.03928 ? v/12.92 : ((v+0.055)/1.055)**2.4; return 0.2126*l(c.r) + 0.7152*l(c.g) + 0.0722*l(c.b) }
	const behind = e => { const list = []; for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a > 0) list.push(c); if (c.a === 1) break }
		return list.reverse().reduce((b, c) => over(c, b), {r: 255, g: 255, b: 255, a: 1}) }
	const bad = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
	for (let n = walk.nextNode(); n; n = walk.nextNode()) {
		const e = n.parentElement
		if (!n.textContent.trim() || e.closest("noscript, option, [disabled]") || !e.checkVisibility()) continue
		const s = getComputedStyle(e), b = behind(e), f = over(parse(s.color), b)
		const x = light(f) + 0.05, y = light(b) + 0.05, ratio = x > y ? x/y : y/x
		const large = parseFloat(s.fontSize) >= 24 || parseFloat(s.fontSize) >= 18.66 && s.fontWeight >= 700
		if (ratio < (large ? 3 : 4.5)) bad.push(ratio.toFixed(2) + " " + n.textContent.trim().slice(0, 40) + " in " + e.outerHTML.slice(0, 100))
	}
	return bad
})()`

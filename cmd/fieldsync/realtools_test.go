package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/rest/resttest"
)

// redmine is a project of a real Redmine.
type redmine struct {
	resttest.Desk
	address string // of the gate in front of it
}

func openRedmine(t *testing.T) ticketing { return &redmine{Desk: resttest.Redmine(t)} }

var redmineTerms = terms{
	collection: "issues", marker: "custom_fields.External ID", title: "subject", text: "description", state: "status", priority: "priority",
	number: "custom_fields.Incident", comments: "notes", notes: "comments",
	states:     [][2]string{{"New", "1"}, {"In Progress", "2"}, {"Feedback", "3"}, {"Resolved", "6"}, {"Closed", "7"}},
	toIncident: `{'Immediate': ['1', '1'], 'Urgent': ['1', '2'], 'High': ['2', '2'], 'Normal': ['2', '3'], 'Low': ['3', '3']}[ticket.priority]`,
	toTicket:   `['Immediate', 'Urgent', 'High', 'Normal', 'Low'][int(incident.impact) + int(incident.urgency) - 2]`,
}

func (d *redmine) mapping() (string, terms) {
	return `
connection "rest" "desk" {
  system   = "redmine"
  url      = env("DESK_URL")
  settings = { project = "` + d.Place + `" }
  auth "header" { key = env("DESK_KEY") }
}`, redmineTerms
}

func (d *redmine) count(x *trial) (string, func() int64) {
	var n func() int64
	d.address, n = x.pass(d.URL)
	return "requests of Redmine", n
}

func (d *redmine) env() []string { return []string{"DESK_URL=" + d.address, "DESK_KEY=" + d.Key} }

// redmineIDs are the numbers that Redmine starts with.
var redmineIDs = map[string]map[string]int{
	"status":   {"1": 1, "2": 2, "6": 3, "3": 4, "7": 5},
	"priority": {"5": 1, "4": 2, "3": 3, "2": 4, "1": 5},
}

func redmineIssue(k ticket) map[string]any {
	f := map[string]any{"subject": k.title, "description": k.text}
	for name, v := range f {
		if v == "" {
			delete(f, name)
		}
	}
	if k.state != "" {
		f["status_id"] = redmineIDs["status"][k.state]
	}
	if k.priority != "" {
		f["priority_id"] = redmineIDs["priority"][k.priority]
	}
	return f
}

func (d *redmine) add(t *testing.T, list []ticket) (ids []string) {
	for _, k := range list {
		f := redmineIssue(k)
		f["project_id"] = d.Place
		var made struct{ Issue struct{ ID int } }
		d.Admin.Do(t, http.MethodPost, "/issues.json", map[string]any{"issue": f}, &made)
		ids = append(ids, strconv.Itoa(made.Issue.ID))
		if k.state != "1" { // whoever makes an issue says so in vain: its workflow begins with New
			d.edit(t, ids[len(ids)-1], ticket{state: k.state})
		}
	}
	return ids
}

func (d *redmine) put(t *testing.T, id string, f map[string]any) {
	d.Admin.Do(t, http.MethodPut, "/issues/"+id+".json", map[string]any{"issue": f}, nil)
}

func (d *redmine) edit(t *testing.T, id string, k ticket) { d.put(t, id, redmineIssue(k)) }

func (d *redmine) comment(t *testing.T, id, text string) { d.put(t, id, map[string]any{"notes": text}) }

func (d *redmine) remove(t *testing.T, id string) {
	d.Admin.Do(t, http.MethodDelete, "/issues/"+id+".json", nil, nil)
}

func (d *redmine) all(t *testing.T) map[string]ticket {
	all := map[string]ticket{}
	comments := talk(t, d.Database, `SELECT i.id, j.notes FROM issues i JOIN projects p ON p.id = i.project_id JOIN journals j ON j.journalized_id = i.id
		WHERE p.identifier = ? AND j.journalized_type = 'Issue' AND j.notes <> ''`, d.Place)
	for offset := 0; ; offset += 100 {
		var page struct {
			Issues []struct {
				ID                   int
				Subject, Description string
				Status, Priority     struct{ ID int }
				Custom               []struct{ Name, Value string } `json:"custom_fields"`
			}
		}
		d.Admin.Do(t, http.MethodGet, fmt.Sprintf("/issues.json?status_id=*&limit=100&sort=id&project_id=%s&offset=%d", d.Place, offset), nil, &page)
		for _, i := range page.Issues {
			id := strconv.Itoa(i.ID)
			k := ticket{title: i.Subject, text: strings.ReplaceAll(i.Description, "\r\n", "\n"), comments: comments[id]}
			for v, n := range redmineIDs["status"] {
				if n == i.Status.ID {
					k.state = v
				}
			}
			for v, n := range redmineIDs["priority"] {
				if n == i.Priority.ID {
					k.priority = v
				}
			}
			for _, c := range i.Custom {
				if c.Name == "Incident" {
					k.number = c.Value
				}
			}
			all[id] = k
		}
		if len(page.Issues) < 100 {
			return all
		}
	}
}

// talk reads the comments of all tickets out of a tool's database.
func talk(t *testing.T, file, query string, args ...any) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+file+"?mode=ro&_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return pairsOf(t, db, query, args...)
}

// pairsOf are the second column's values by the first's.
func pairsOf(t *testing.T, db *sql.DB, query string, args ...any) map[string][]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string][]string{}
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			t.Fatal(err)
		}
		all[id] = append(all[id], strings.ReplaceAll(text, "\r\n", "\n"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// tracker is a queue of a real Request Tracker.
type tracker struct {
	resttest.Desk
	address string
}

func openTracker(t *testing.T) ticketing { return &tracker{Desk: resttest.RequestTracker(t)} }

var trackerTerms = terms{
	collection: "tickets", marker: "CustomFields.External ID", title: "Subject", text: "CustomFields.Details", state: "Status", priority: "Priority",
	number: "CustomFields.Incident", comments: "comments", notes: "work_notes",
	states:     [][2]string{{"new", "1"}, {"open", "2"}, {"stalled", "3"}, {"resolved", "6"}, {"resolved", "7"}},
	toIncident: `[['1', '1'], ['1', '2'], ['2', '2'], ['2', '3'], ['3', '3']][ticket.Priority - 1]`,
	toTicket:   `int(incident.impact) + int(incident.urgency) - 1`,
}

func (d *tracker) mapping() (string, terms) {
	return `
connection "rest" "desk" {
  system   = "rt"
  url      = env("DESK_URL")
  settings = { queue = "` + d.Place + `" }
  auth "header" { key = env("DESK_KEY") }
}`, trackerTerms
}

func (d *tracker) count(x *trial) (string, func() int64) {
	var n func() int64
	d.address, n = x.pass(d.URL)
	return "requests of Request Tracker", n
}

func (d *tracker) env() []string { return []string{"DESK_URL=" + d.address, "DESK_KEY=" + d.Key} }

func trackerTicket(k ticket) map[string]any {
	f := map[string]any{}
	if k.title != "" {
		f["Subject"] = k.title
	}
	for _, s := range trackerTerms.states {
		if s[1] == k.state {
			f["Status"] = s[0]
		}
	}
	if n, err := strconv.Atoi(k.priority); err == nil {
		f["Priority"] = n
	}
	if k.text != "" {
		f["CustomFields"] = map[string]any{"Details": k.text}
	}
	return f
}

func (d *tracker) add(t *testing.T, list []ticket) (ids []string) {
	for _, k := range list {
		f := trackerTicket(k)
		f["Queue"] = d.Place
		delete(f, "Status")
		var made struct{ ID json.Number }
		d.Admin.Do(t, http.MethodPost, "/ticket", f, &made)
		ids = append(ids, made.ID.String())
		if k.state != "1" { // no ticket can begin as stalled
			d.edit(t, made.ID.String(), ticket{state: k.state})
		}
	}
	return ids
}

func (d *tracker) edit(t *testing.T, id string, k ticket) {
	d.Admin.Do(t, http.MethodPut, "/ticket/"+id, trackerTicket(k), nil)
}

func (d *tracker) comment(t *testing.T, id, text string) {
	d.Admin.Do(t, http.MethodPost, "/ticket/"+id+"/comment", map[string]any{"Content": text, "ContentType": "text/plain"}, nil)
}

func (d *tracker) remove(t *testing.T, id string) {
	d.Admin.Do(t, http.MethodDelete, "/ticket/"+id, nil, nil)
}

func (d *tracker) all(t *testing.T) map[string]ticket {
	all := map[string]ticket{}
	comments := talk(t, d.Database, `SELECT t.id, a.Content FROM Tickets t JOIN Queues q ON q.id = t.Queue JOIN Transactions x ON x.ObjectId = t.id JOIN Attachments a ON a.TransactionId = x.id
		WHERE q.Name = ? AND x.ObjectType = 'RT::Ticket' AND x.Type = 'Comment' AND a.ContentType = 'text/plain'`, d.Place)
	for page := 1; ; page++ {
		var got struct {
			Items []struct {
				ID              json.Number
				Subject, Status string
				Priority        json.Number
				CustomFields    []struct {
					Name   string
					Values []string
				}
			}
			Pages int
		}
		d.Admin.Do(t, http.MethodGet, fmt.Sprintf("/tickets?fields=Subject,Status,Priority,CustomFields&per_page=100&orderby=id&page=%d&query=%s", page, url.QueryEscape("Queue = '"+d.Place+"'")), nil, &got)
		for _, i := range got.Items {
			k := ticket{title: i.Subject, priority: i.Priority.String(), comments: comments[i.ID.String()]}
			for _, s := range trackerTerms.states[:4] {
				if s[0] == i.Status {
					k.state = s[1]
				}
			}
			for _, f := range i.CustomFields {
				switch v := strings.Join(f.Values, ""); f.Name {
				case "Incident":
					k.number = v
				case "Details":
					k.text = v
				}
			}
			all[i.ID.String()] = k
		}
		if page >= got.Pages {
			return all
		}
	}
}

package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/fieldsync/fieldsync/engine/access"
)

// api is where programs ask.
const api = "/api/v1"

// A page is a view at two addresses: for people and for programs.
type page struct {
	path     string // for people
	twin     string // below api
	template string
	title    string
	nav      string
	says     string  // what it is, in the description of the API
	query    []param // of the query
	view     any     // its zero value, for the description of the API
	serve    func(*Console, *http.Request) (any, error)
}

// A param is something that a caller names.
type param struct {
	name string
	says string
	must bool
}

var paging = param{name: "skip", says: "how many to leave out at the start"}

// pages is every page, in the order of the menu.
var pages = []page{
	{"/{$}", "/overview", "overview", "Overview", "overview", "The service, its syncs and the latest runs.", nil, Overview{}, view((*Console).overview)},
	{"/syncs/{sync}", "/syncs/{sync}", "sync", "Sync", "overview", "One sync: how it stands, its rules side by side, and what they did.", nil, SyncPage{}, view((*Console).sync)},
	{"/syncs/{sync}/preview", "/syncs/{sync}/preview", "preview", "Preview", "overview", "The last preview of a sync, or the one that is being made.",
		[]param{paging}, PreviewPage{}, view((*Console).preview)},
	{"/runs", "/runs", "runs", "Runs", "runs", "Runs, newest first.",
		[]param{{"sync", "only runs of this sync", false}, {"before", "only runs with a smaller number", false}}, RunsPage{}, view((*Console).runs)},
	{"/runs/{id}", "/runs/{id}", "run", "Run", "runs", "One run with what it did, as plan shows it.", []param{paging}, RunPage{}, view((*Console).run)},
	{"/conflicts", "/conflicts", "conflicts", "Conflicts", "conflicts", "Conflicts that wait for a person, oldest first, with the three values of each.",
		[]param{{"sync", "only those of this sync", false}, paging}, WaitingPage{}, view((*Console).conflicts)},
	{"/holds", "/holds", "holds", "Holds", "holds", "What waits because something is wrong with it, oldest first.",
		[]param{{"sync", "only those of this sync", false}, paging}, WaitingPage{}, view((*Console).holds)},
	{"/record", "/record", "record", "Record", "search", "One record and its twin: what decides about them now, and the story of every value.",
		[]param{{"sync", "the sync that links it", true}, {"key", "its key or label on either side", true}, paging}, RecordPage{}, view((*Console).record)},
	{"/search", "/search", "search", "Search", "search", "Linked records whose key or label is a text or begins with it.",
		[]param{{"q", "the text", false}, {"sync", "only records of this sync", false}}, SearchPage{}, view((*Console).search)},
	{"/restore/{id}", "/restore/{id}", "restore", "Restore a value", "search", "What restoring a value of the history would write.", nil, RestorePage{}, view((*Console).restore)},
	{"/connections", "/connections", "connections", "Connections", "connections", "The systems, and what their last checks found.", nil, ConnectionsPage{}, view((*Console).connections)},
	{"/mappings", "/mappings", "mappings", "Mappings", "mappings", "The mapping files, what is wrong with them, and the last edit.", nil, Mappings{}, view((*Console).mappings)},
	{"/acts", "/acts", "acts", "Acts", "acts", "What people did by hand, in the console and on the command line, newest first.", nil, ActsPage{}, view((*Console).acts)},
	{"/mappings/{file}", "/mappings/{file}", "file", "Mapping file", "mappings", "One mapping file, without credentials.", nil, File{}, view((*Console).file)},
}

// view makes a page's function of one that returns its own type.
func view[T any](f func(*Console, *http.Request) (T, error)) func(*Console, *http.Request) (any, error) {
	return func(c *Console, r *http.Request) (any, error) { return f(c, r) }
}

// An act changes something. Its fields come in a form or in a JSON object of texts.
type act struct {
	name   string
	path   string // for people; programs post to the same below api
	role   access.Role
	says   string
	fields []param
	do     func(*Console, context.Context, map[string]string) (Done, error)
}

// Done is what came of an act.
type Done struct {
	Done bool   `json:"done"`
	Says string `json:"says"`
	See  string `json:"see"` // the page that shows it
}

var why = param{"why", "the reason, for the record", false}

// acts is everything that can be done.
var acts = []act{
	{"run", "/syncs/{sync}/run", access.Run, "Run a sync now. With again, what is held is tried before its time.",
		[]param{{"again", "\"true\" to try what is held before its time", false}, why}, (*Console).doRun},
	{"pause", "/syncs/{sync}/pause", access.Run, "Keep a sync from being started by its schedule.", []param{why}, (*Console).doPause},
	{"resume", "/syncs/{sync}/resume", access.Run, "Let a sync be started by its schedule again.", []param{why}, (*Console).doResume},
	{"preview", "/syncs/{sync}/preview", access.Decide, "Make a preview of a sync: reads both systems, writes nothing.", []param{why}, (*Console).doPreview},
	{"approve", "/syncs/{sync}/approve", access.Decide, "Let the next run carry out the stopped plan with this digest, once.",
		[]param{{"digest", "of the plan", true}, why}, (*Console).doApprove},
	{"resolve", "/syncs/{sync}/resolve", access.Decide, "Decide a conflict in favour of one side; the next run carries it out.",
		[]param{{"key", "of the record, on either side", true}, {"field", "the field rule", true}, {"take", "the side whose value wins", true}, why}, (*Console).doResolve},
	{"restore", "/restore/{id}", access.Decide, "Bring a value of the history back, as a person's edit.", []param{why}, (*Console).doRestore},
	{"check", "/connections/{name}/check", access.Decide, "Log in to a system and look for what a run would stumble over.", []param{why}, (*Console).doCheck},
}

// said is what a page says after an act.
var said = map[string]string{
	"run":     "A run was asked for; it starts as soon as the sync is free.",
	"pause":   "Paused: the schedule does not start this sync any more. It can still be run by hand.",
	"resume":  "Resumed: the schedule starts this sync again.",
	"preview": "",
	"approve": "Approved: the next run that plans exactly this carries it out, once, within a day.",
	"resolve": "Decided: the next run carries it out, as long as both sides still show the same.",
	"restore": "Restored: it counts as an edit of yours, and the next run carries it across.",
	"check":   "",
}

// read takes the fields of an act from the path and the body.
func (a act) read(r *http.Request) (map[string]string, error) {
	in := map[string]string{}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, unreadable("the body is no JSON object of texts", err)
		}
	case "application/x-www-form-urlencoded", "":
		if err := r.ParseForm(); err != nil {
			return nil, unreadable("the form cannot be read", err)
		}
		for name := range r.PostForm {
			in[name] = r.PostForm.Get(name)
		}
	default:
		return nil, refusal{fmt.Errorf("a body of the type %s cannot be read; send a form or JSON", kind), http.StatusUnsupportedMediaType}
	}
	known := map[string]bool{"back": true}
	for _, name := range pathParams(a.path) {
		in[name], known[name] = r.PathValue(name), true
	}
	for _, f := range a.fields {
		if known[f.name] = true; f.must && in[f.name] == "" {
			return nil, refuse("%s is missing: %s", f.name, f.says)
		}
	}
	for name := range in {
		if !known[name] {
			return nil, refuse("%s has no field %q", a.name, name)
		}
	}
	if len(in["why"]) > longWhy {
		return nil, refuse("the reason is longer than %d characters", longWhy)
	}
	return in, nil
}

// unreadable is a body that is wrong, or too large.
func unreadable(what string, err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return refuse("%s: %v", what, err)
}

// longWhy is how long a reason may be, in bytes.
const longWhy = 2000

// subject says what an act is about, for the record.
func (a act) subject(in map[string]string) string {
	var parts []string
	for _, name := range pathParams(a.path) {
		parts = append(parts, in[name])
	}
	for _, f := range a.fields {
		if f.name != "why" && in[f.name] != "" {
			parts = append(parts, f.name+" "+in[f.name])
		}
	}
	return strings.Join(parts, ", ")
}

// pathParams are the names in braces of a pattern.
func pathParams(pattern string) []string {
	var names []string
	for part := range strings.SplitSeq(pattern, "/") {
		if strings.HasPrefix(part, "{") && part != "{$}" {
			names = append(names, strings.Trim(part, "{}"))
		}
	}
	return names
}

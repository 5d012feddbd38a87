package console

import (
	"context"
	"errors"
	"time"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// ErrNotFound is wrapped by a Backend that does not know what it was asked for.
var ErrNotFound = errors.New("not found")

// A Backend is the service that the console shows and steers. What it answers is fit to be shown: values of sensitive
// fields are hidden already. The caller of an act is in its context (access.From).
type Backend interface {
	Now() time.Time
	Service() Service
	// Syncs lists every sync in the order in which they run, then those that only the state remembers.
	Syncs(ctx context.Context) ([]Sync, error)
	Rules(ctx context.Context, sync string) (Rules, error)
	// Runs lists runs with an ID below before, newest first; sync "" means all.
	Runs(ctx context.Context, sync string, before int64, most int) ([]plan.Run, error)
	Run(ctx context.Context, id int64) (Run, error)
	// Waiting lists conflicts or holds, oldest first, without the first few; more tells whether others follow.
	Waiting(ctx context.Context, q WaitingQuery) (list []Waiting, more bool, err error)
	Record(ctx context.Context, sync, key string) (Record, error)
	// Find lists records whose key or label, on either side, is text or begins with it.
	Find(ctx context.Context, sync, text string, most int) (list []Hit, more bool, err error)
	Connections(ctx context.Context) ([]Connection, error)
	Mappings() (Mappings, error)
	File(name string) (File, error)
	// Acts lists what people did, newest first.
	Acts(ctx context.Context, most int) ([]engine.Act, error)
	// Preview is the last one of a sync that was asked for, or is being made; nil if there is none.
	Preview(ctx context.Context, sync string) (*Preview, error)
	// Putback is what restoring a value of the history would write.
	Putback(ctx context.Context, id int64) (report.Put, error)

	StartPreview(ctx context.Context, sync string) error
	Check(ctx context.Context, connection string) error
	Approve(ctx context.Context, sync, digest string) (engine.PlanApproval, error)
	Resolve(ctx context.Context, sync, key, field, side string) error
	Restore(ctx context.Context, id int64) (report.Put, error)
	// Trigger runs a sync now. With again, it looks at what is held before its time.
	Trigger(ctx context.Context, sync string, again bool) error
	Pause(ctx context.Context, sync string, paused bool, why string) error

	// News is a number that grows, or at least changes, with everything that Watch tells.
	News() uint64
	// Watch tells, until ctx ends, of syncs about which something new can be shown; "*" is all of them, and is told at once
	// where News is no longer what it was when the caller looked. One that is told again before it was taken from the
	// channel is told once.
	Watch(ctx context.Context, seen uint64) <-chan []string
}

// A Service is the process that answers.
type Service struct {
	Version string       `json:"version"`
	Dir     string       `json:"dir"` // of the mapping files
	Began   time.Time    `json:"began"`
	Mapping MappingState `json:"mapping"`
}

// A MappingState says whether the rules in force are those of the files.
type MappingState struct {
	Good        bool         `json:"good"`
	Since       time.Time    `json:"since"`
	Rules       string       `json:"rules"` // digest of the files in force
	Diagnostics []Diagnostic `json:"diagnostics"`
}

// A Diagnostic is what is wrong with the mapping files at one place.
type Diagnostic struct {
	Severity string `json:"severity"` // error or warning
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	File     string `json:"file"` // "" where it is about no file
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	EndLine  int    `json:"end_line"`
	EndCol   int    `json:"end_column"`
}

// A Sync is how one sync stands.
type Sync struct {
	report.Status
	Sides   [2]string `json:"sides"`
	Waiting bool      `json:"waiting"` // due, and held up by another sync that it follows
	Running *Progress `json:"running,omitempty"`
}

// Name is the sync's.
func (s Sync) Name() string { return s.Status.Sync }

// Progress is how far a run, or a preview, has come.
type Progress struct {
	Run   int64     `json:"run"` // 0: it has not got a number yet
	Since time.Time `json:"since"`
	Phase string    `json:"phase"` // "observe ticket", "decide", "carry out"
	Done  int64     `json:"done"`
	Total int64     `json:"total"` // 0: not known
}

// Rules are the rules of one sync, side by side, with what they did.
type Rules struct {
	Sync       string    `json:"sync"`
	Sides      [2]End    `json:"sides"`
	Fields     []Field   `json:"fields"`
	Others     []Setting `json:"others"` // what stands in the sync's block beside sides and fields
	At         string    `json:"at"`     // file:line
	Runs       int64     `json:"runs"`   // the counts of Fields are of this many runs, the latest
	Unverified string    `json:"unverified,omitempty"`
}

// An End is one side of a sync.
type End struct {
	Name       string `json:"name"`
	Connection string `json:"connection"`
	Collection string `json:"collection"`
	Scope      string `json:"scope"`
	Create     bool   `json:"create"`
}

// A Field is one field rule.
type Field struct {
	Name      string      `json:"name"`
	At        string      `json:"at"`
	Paths     [2][]string `json:"paths"`
	To        [2]bool     `json:"to"` // the sides that it writes
	Policy    string      `json:"policy,omitempty"`
	Settings  []Setting   `json:"settings"`
	Sensitive bool        `json:"sensitive"`
	Wrote     [2]int64    `json:"wrote"` // values, by side
	Last      time.Time   `json:"last,omitzero"`
	LastRun   int64       `json:"last_run,omitempty"`
	Conflicts int64       `json:"conflicts"`
	Held      int64       `json:"held"`
}

// A Setting is one line of a mapping block.
type Setting struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// A Run is the account of a run with what it did.
type Run struct {
	plan.Run
	Sides   [2]string `json:"sides"`
	Running *Progress `json:"running,omitempty"`
	Steps   []Step    `json:"steps"`
	// Missing is why Steps is not all of it; "" where it is.
	Missing string `json:"missing,omitempty"`
}

// A Step is an item of a plan, and what came of it. Outcome is "" before, and for what waits.
type Step struct {
	plan.Item
	Outcome plan.Outcome `json:"outcome,omitempty"`
	Key     string       `json:"key,omitempty"` // of a created record
	Label   string       `json:"label,omitempty"`
	Why     string       `json:"why,omitempty"`
	Hint    string       `json:"hint,omitempty"`
	Own     bool         `json:"own,omitempty"` // an edit that the run found, not one that it made
}

// A WaitingQuery says what of the things that wait is wanted.
type WaitingQuery struct {
	Sync      string // "": all
	Conflicts bool   // else holds
	Skip      int
	Most      int
}

// A Waiting is a conflict or a hold with the values that it is about.
type Waiting struct {
	report.Waiting
	// Values are what the rule is about, by side: base and now. Empty where that is not known.
	Values [2][]report.PathView `json:"values"`
}

// A Record is a link with the verdict of now and the story of its values.
type Record struct {
	report.Blame
	Verdict *report.Explanation `json:"verdict,omitempty"`
	// NoVerdict is why there is none.
	NoVerdict string            `json:"no_verdict,omitempty"`
	Hint      string            `json:"hint,omitempty"`
	RulesAt   map[string]string `json:"rules_at"` // file:line by field
	Waiting   []Waiting         `json:"waiting"`
}

// A Hit is a link that was looked for.
type Hit struct {
	Sync   string    `json:"sync"`
	Sides  [2]string `json:"sides"`
	Keys   [2]string `json:"keys"`
	Labels [2]string `json:"labels"`
	Status string    `json:"status"`
}

// A Connection is a system and what its last check found.
type Connection struct {
	Name    string           `json:"name"`
	Type    string           `json:"type"`
	At      string           `json:"at"`
	Missing []string         `json:"missing"` // environment variables that are not set
	Limits  string           `json:"limits"`
	Uses    []Use            `json:"uses"`
	Checked time.Time        `json:"checked,omitzero"`
	Found   []report.Finding `json:"found"`
}

// A Use is a side of a sync that lives in a connection.
type Use struct {
	Sync       string `json:"sync"`
	Side       string `json:"side"`
	Collection string `json:"collection"`
}

// Mappings are the mapping files as they are on disk.
type Mappings struct {
	State MappingState `json:"state"`
	Files []FileInfo   `json:"files"`
	// Reload is the last edit that was taken over, or, while State is not good, the one that could not be.
	Reload *Reload `json:"reload,omitempty"`
}

// A FileInfo is a mapping file.
type FileInfo struct {
	Name     string    `json:"name"`
	Lines    int       `json:"lines"`
	Edited   time.Time `json:"edited"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
}

// A Reload is an edit of the mapping files.
type Reload struct {
	At    time.Time `json:"at"`
	Taken bool      `json:"taken"`
	Files []Diff    `json:"files"`
}

// A Diff is how the lines of a file changed.
type Diff struct {
	Name  string `json:"name"`
	Lines []Line `json:"lines"`
}

// A Line of a Diff.
type Line struct {
	Op  string `json:"op"`  // "+", "-", " ", or "…" for lines that are left out
	Old int    `json:"old"` // its number before; 0: it was not there
	New int    `json:"new"`
	// Text is the line without its end.
	Text string `json:"text"`
}

// A File is the text of a mapping file, without credentials, and what is wrong with it.
type File struct {
	Name        string       `json:"name"`
	Text        string       `json:"text"`
	Diagnostics []Diagnostic `json:"diagnostics"`
}

// A Preview is a plan that was asked for in a browser.
type Preview struct {
	Sync    string       `json:"sync"`
	By      string       `json:"by"`
	At      time.Time    `json:"at"`
	Running *Progress    `json:"running,omitempty"`
	Err     string       `json:"error,omitempty"`
	Hint    string       `json:"hint,omitempty"`
	Header  *plan.Header `json:"header,omitempty"`
	Footer  *plan.Footer `json:"footer,omitempty"`
	Steps   []Step       `json:"steps"`
	Missing string       `json:"missing,omitempty"`
}

var sides = record.Sides

// Package plan is what a run intends to do and what came of it: plain data, in the order it is shown, stored
// and carried out. It decides nothing and does nothing. Start with [Action].
package plan

import (
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A Kind says what an action does. Actions are carried out and shown in this order.
type Kind string

const (
	Create     Kind = "create"
	Update     Kind = "update"
	Comment    Kind = "comment"
	Attachment Kind = "attachment"
	Delete     Kind = "delete"
)

// Rank orders kinds: creates, updates, comments, attachments, deletes.
func (k Kind) Rank() int {
	switch k {
	case Create:
		return 0
	case Update:
		return 1
	case Comment:
		return 2
	case Attachment:
		return 3
	}
	return 4
}

// A Header opens a plan.
type Header struct {
	Sync     string    `json:"sync"`
	Sides    [2]string `json:"sides"` // the names that the mapping gives them
	Rules    string    `json:"rules"` // digest of the rules it was made with
	Made     time.Time `json:"made"`
	Scan     [2]string `json:"scan"`    // "full", "changes" or "few", by side
	Links    int64     `json:"links"`   // live and held links before the run
	Elapsed  float64   `json:"elapsed"` // seconds
	Observed [2]int64  `json:"observed"`
	// InFlight are writes of an earlier run of which nobody knows yet whether they happened. A preview cannot settle
	// them, and may show one of them again.
	InFlight int64 `json:"in_flight,omitempty"`
}

// A Footer closes a plan: its sums, and the digest of everything between.
type Footer struct {
	Creates   int64      `json:"creates"`
	Updates   int64      `json:"updates"`
	Deletes   int64      `json:"deletes"`
	Comments  int64      `json:"comments,omitempty"`
	Attached  int64      `json:"attachments,omitempty"`
	Conflicts int64      `json:"conflicts"`
	Held      int64      `json:"held"`   // fields or links that wait because of an error
	Linked    int64      `json:"linked"` // records paired without a write
	Detached  int64      `json:"detached"`
	Ended     int64      `json:"ended"`
	Stops     []Stop     `json:"stops,omitempty"` // gates and limits that keep the plan from being carried out
	Requests  []Requests `json:"requests,omitempty"`
	Digest    string     `json:"digest"`
}

// Changes is the number of actions.
func (f Footer) Changes() int64 { return f.Creates + f.Updates + f.Comments + f.Attached + f.Deletes }

// A Stop is a limit or a gate that the whole plan runs into (semantics §7).
type Stop struct {
	Limit string `json:"limit"` // "creates", "deletes", "empty side", …
	Why   string `json:"why"`
	Hint  string `json:"hint"`
}

// Requests estimates the load on one connection.
type Requests struct {
	Connection string  `json:"connection"`
	Count      int64   `json:"count"`
	Share      float64 `json:"share"` // of what its rate limit allows in an hour; 0 where there is no limit
}

// An Action is one write to one record of one side. Its changes are never empty for an update, always for a comment
// or an attachment.
type Action struct {
	Kind       Kind        `json:"kind"`
	Side       record.Side `json:"side"`
	SideName   string      `json:"side_name"`
	Connection string      `json:"connection"`
	Collection string      `json:"collection"`
	Link       int64       `json:"link,omitempty"` // 0: a link that does not exist yet
	Key        string      `json:"key,omitempty"`  // of the record written; "" for a create
	Label      string      `json:"label,omitempty"`
	Version    string      `json:"version,omitempty"` // that the decision was made on
	From       Ref         `json:"from"`              // the record on the other side
	Changes    []Change    `json:"changes"`
	Marker     string      `json:"marker,omitempty"` // create: the path that carries the marker; its value is among Changes
	Why        string      `json:"why,omitempty"`    // a decision about the whole record (on_gone)
	Entry      *Entry      `json:"entry,omitempty"`  // comment: what is added
	File       *File       `json:"file,omitempty"`   // attachment: what is added
}

// An Entry is a comment that is carried to the other side, or a later edit of one that was.
type Entry struct {
	Path   string    `json:"path"` // that it is added under
	ID     string    `json:"id"`   // of the comment that it is a copy of
	Author string    `json:"author,omitempty"`
	Time   time.Time `json:"time,omitzero"`
	Text   string    `json:"text"`           // as it will stand there
	Copy   string    `json:"copy,omitempty"` // edit: ID of the copy that is changed
	Was    string    `json:"was,omitempty"`  // edit: what it says now
}

// A File is an attachment that is carried to the other side.
type File struct {
	Path   string    `json:"path"` // that it is added under
	ID     string    `json:"id"`   // of the file that it is a copy of
	Name   string    `json:"name"`
	Type   string    `json:"type,omitempty"`
	Size   int64     `json:"size"` // bytes; -1: not known
	Hash   string    `json:"hash,omitempty"`
	Author string    `json:"author,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// Bytes is a number of bytes as people and mapping files write it.
type Bytes int64

func (n Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		switch {
		case n >= u.size && n%u.size == 0 || n >= 100*u.size:
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		case n >= u.size:
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", int64(n))
}

// A Ref names a record of the other side.
type Ref struct {
	SideName string `json:"side_name"`
	Key      string `json:"key"`
	Label    string `json:"label,omitempty"`
	Version  string `json:"version,omitempty"`
}

// Name is the label, or the key where there is none.
func (r Ref) Name() string {
	if r.Label != "" {
		return r.Label
	}
	return r.Key
}

// A Change is one path that gets another value, and why.
type Change struct {
	Path      string       `json:"path"`
	From      record.Value `json:"from"`
	To        record.Value `json:"to"`
	Field     string       `json:"field"` // the field rule, or "match" for a marker
	At        string       `json:"at"`    // file:line of the rule
	Why       string       `json:"why"`   // `ticket.status "open" → "resolved"`
	Sensitive bool         `json:"sensitive,omitempty"`
	// Pending: To is not known yet; it is what the record created by the same plan will show under this
	// path of its own (its number, say).
	Pending string `json:"pending,omitempty"`
}

// A Conflict is a field, or a whole record, that needs a person.
type Conflict struct {
	Sync      string          `json:"sync"`
	Link      int64           `json:"link,omitempty"`
	Keys      [2]string       `json:"keys"`
	Labels    [2]string       `json:"labels"`
	Field     string          `json:"field,omitempty"` // "" for a whole record
	At        string          `json:"at,omitempty"`
	Paths     [2][]string     `json:"paths"`
	Base      [2]record.Value `json:"base"` // one value; a List where the rule has several paths
	Now       [2]record.Value `json:"now"`
	Policy    string          `json:"policy"`
	Why       string          `json:"why"`
	Since     time.Time       `json:"since,omitzero"`
	Sensitive bool            `json:"sensitive,omitempty"`
}

// A Hold is a field or a record that waits because something is wrong with it.
type Hold struct {
	Sync   string    `json:"sync"`
	Link   int64     `json:"link,omitempty"`
	Keys   [2]string `json:"keys"`
	Labels [2]string `json:"labels"`
	Field  string    `json:"field,omitempty"`
	At     string    `json:"at,omitempty"`
	Cause  string    `json:"cause"`
	Hint   string    `json:"hint,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Tries  int       `json:"tries,omitempty"`
	Next   time.Time `json:"next,omitzero"`
}

// An Item is one line of a plan: exactly one member is set.
type Item struct {
	Action   *Action   `json:"action,omitempty"`
	Conflict *Conflict `json:"conflict,omitempty"`
	Hold     *Hold     `json:"hold,omitempty"`
}

// An Outcome says how an action ended.
type Outcome string

const (
	Done    Outcome = "done"
	Skipped Outcome = "skipped" // not carried out; Why says the reason: it is no longer what was planned
	Failed  Outcome = "failed"  // held, tried again later
	Partly  Outcome = "partly"  // done, but the system stored something else for some fields
)

// A Result is what came of one action.
type Result struct {
	Action  Action  `json:"action"`
	Outcome Outcome `json:"outcome"`
	Key     string  `json:"key,omitempty"` // of the created record
	Label   string  `json:"label,omitempty"`
	Why     string  `json:"why,omitempty"`
	Hint    string  `json:"hint,omitempty"`
}

// A Run is the account of one run of one sync.
type Run struct {
	ID       int64     `json:"id"`
	Sync     string    `json:"sync"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Trigger  string    `json:"trigger"`         // "apply", "schedule", "after", "plan file"
	Owner    string    `json:"owner,omitempty"` // who had the lease
	Fence    int64     `json:"fence,omitempty"` // of the lease: of two runs of a sync the later one has the larger, or the same and the same owner
	Footer   Footer    `json:"plan"`
	Done     int64     `json:"done"`
	Skipped  int64     `json:"skipped"`
	Failed   int64     `json:"failed"`
	Stirred  int64     `json:"stirred,omitempty"` // writes whose answer shows more mapped fields changed: rules of the system itself
	Averted  int64     `json:"averted,omitempty"` // values that a write replaced unseen and that went back into the decision
	Err      string    `json:"error,omitempty"`
	Hint     string    `json:"hint,omitempty"`
	Rules    string    `json:"rules"`
	Stopped  bool      `json:"stopped,omitempty"`  // limits or gates kept the plan from being carried out
	Approved string    `json:"approved,omitempty"` // who approved a plan that ran into limits, where that was kept
	Few      bool      `json:"few,omitempty"`      // it looked only at the records that a system or a person had named
	Complete bool      `json:"complete"`           // every observed record is settled or held; the cursors advanced
}

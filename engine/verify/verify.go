// Package verify lives thousands of made-up histories by somebody's own rules, until one breaks a promise.
//
// It is pure and knows no system: a [Subject] is one sync, its compiled rules, and what is known of the values that its
// paths hold. [Alone] lives random histories of two linked records (edits on both sides, clears, creates, deletes) through
// the real core, reconcile.Decide and reconcile.Settle, on model records that cut, refuse and require what their
// systems do; [Together] does so for two syncs that meet on one collection. What breaks a promise is shrunk to the
// shortest story that still does. [Play] tells whether one given story keeps the promises. The same seed gives the same
// findings. Nothing here returns errors or panics on data. Start with run.go; promise.go has the promises.
package verify

import (
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Subject is one sync as the machine sees it.
type Subject struct {
	Rules  *reconcile.Rules
	Ends   [2]string // tells collections apart: syncs that name the same one meet on its records
	Native [2]string // scope in the system's own language, which cannot be tried here
	Forms  [2][]Form // by slot
	Traits []Trait   // by rule
	Scope  [2][]int  // slots that where reads; where counts only if all of them are known
}

// A Form is what is known of the values in one slot.
type Form struct {
	Described bool // by the system; else MaxLength, Closed and Required are not known
	MaxLength int  // characters; longer text is cut
	Choices   []record.Value
	Closed    bool // other values than Choices are dropped
	Required  bool // never null
	Key       bool // the system gives it to a record once
	Listed    bool // Words are all that it holds: nothing else is made up
	Words     []Word
}

// A Word is one value that a slot may hold.
type Word struct {
	Value record.Value
	Grade Grade
	From  string // "a choice of the system", "a row of translation state"
}

// A Grade says how sure it is that a slot may hold a value. What is merely made up never breaks a promise that turns
// on that very value being there.
type Grade uint8

const (
	Odd     Grade = iota // made up to try the edges: blanks, line ends, very long text
	Likely               // ordinary content of its type
	Certain              // the mapping or the system names it
)

// A Trait is what a rule says of itself beside what it does.
type Trait struct {
	Via   [2]string // to this side through the translation of this name; "" where not
	Lossy bool      // the translation says that it does not come back whole
	Copy  bool      // position by position, both ways
	Live  bool      // through a live table: what has no row there waits for one
}

// A Kind is what is wrong.
type Kind string

const (
	PingPong     Kind = "ping-pong"    // runs without edits never come to rest
	TwoWriters   Kind = "two-writers"  // two syncs want different values in one place, in turn
	Lossy        Kind = "lossy"        // what goes over does not come back as what it was
	Rewritten    Kind = "rewritten"    // what a person wrote goes over and comes back as something else
	Untranslated Kind = "untranslated" // a value has no row
	Undecided    Kind = "undecided"    // an expression fails
	Unranked     Kind = "unranked"     // an order misses a value
	Refused      Kind = "refused"      // a system does not take what a rule sends
	Cut          Kind = "cut"          // text comes back shorter than it was
)

// promises are the words of the specification for what each kind breaks.
var promises = map[Kind]string{
	PingPong:     "quiet: with no edits the second run is empty, and stays so",
	TwoWriters:   "quiet: with no edits the second run is empty, and stays so",
	Lossy:        "nothing invented: every value was written by a person or follows from one that was",
	Rewritten:    "nothing lost: what a person wrote stays as it was written",
	Untranslated: "agreed: every field holds, and none waits for a mend of the mapping",
	Undecided:    "agreed: every field holds, and none waits for a mend of the mapping",
	Unranked:     "agreed: a conflict is decided by the policy that was chosen for it",
	Refused:      "agreed: what a rule sends can be stored",
	Cut:          "nothing lost: nobody shortened that text",
}

// needed is how sure the values of a story must be. Below that it is worth knowing and breaks no promise.
func (k Kind) needed() Grade {
	switch k {
	case Untranslated, Undecided, Unranked, Refused:
		return Certain
	}
	return Likely
}

// A Culprit is a rule that has to do with a finding.
type Culprit struct {
	Sync  string `json:"sync"`
	Field string `json:"field"` // "" for a where
	At    string `json:"at,omitempty"`
}

// A Finding is a promise that was broken, or, with Note, something that would break it if a value occurs of which
// it is not known.
type Finding struct {
	Kind     Kind      `json:"kind"`
	Note     bool      `json:"-"`
	Promise  string    `json:"promise"`
	What     string    `json:"what"`
	Culprits []Culprit `json:"culprits"`
	Values   []string  `json:"values,omitempty"` // all that meet the same fate
	Story    Told      `json:"story"`
	Case     *Case     `json:"-"` // the story as a test; nil where it is none
}

// A Report is what came of the histories of one sync, or of two that meet.
type Report struct {
	Syncs     []string  `json:"syncs"`
	Histories int       `json:"histories"`
	Linked    int       `json:"linked"` // of them: of two records that agreed before
	Runs      int       `json:"runs"`
	Findings  []Finding `json:"findings"`
	Notes     []Finding `json:"notes"`
	Blind     []string  `json:"blind,omitempty"` // what could not be tried, and why
}

// A Case is a story that fits a test block: what both sides showed when they last agreed, and what differs now.
type Case struct {
	Base [2]record.Fields // nil: never linked
	Now  [2]record.Fields
	Gone [2]bool
}

// Options say how much to live through.
type Options struct {
	Seed      uint64
	Histories int
	// Progress is told how far it is and says whether to go on; nil goes on to the end.
	Progress func(done, total int) bool
}

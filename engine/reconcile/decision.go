package reconcile

import (
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Presence says what is known of a record's existence.
type Presence uint8

const (
	Present    Presence = iota // seen now, or unchanged since it was last seen
	Missing                    // never had a record on this side (a create may follow)
	Gone                       // proved deleted
	OutOfScope                 // exists, but the sync's scope no longer covers it
	Unsure                     // exists, and its scope cannot be told: Input.Doubt says why
)

func (p Presence) String() string {
	return [...]string{"present", "missing", "gone", "out of scope", "of unknown scope"}[p]
}

// An Input is all that a decision depends on, beside the rules.
type Input struct {
	Link     record.Link // ID 0 and no base for records that are not linked yet
	Presence [2]Presence
	Record   [2]record.Record // Values by slot; zero on a side that is not Present
	Doubt    [2]string        // of an Unsure side: what kept where from telling
	Born     [2]bool          // of a side OutOfScope: a run created the record, and it was never seen in scope
	Clock    [2]Clock
	Time     time.Time            // run.time, and the clock for deadlines
	Since    map[string]time.Time // field rule → since when its conflict waits
	Decided  map[string]Choice    // field rule → what a person decided
	Past     []Past               // what happened lately; nil unless something is about to be written again
}

// A Clock is a side's clock against ours, for newest.
type Clock struct {
	Measured bool
	Offset   time.Duration // theirs minus ours
	Error    time.Duration
}

// A Choice is a person's decision of a conflict. It holds only while both sides still show what the person saw.
type Choice struct {
	Side record.Side
	Seen [2][]record.Value // the rule's values on both sides (Reads order) when it was decided
	By   string
}

// An Outcome is what a verdict leads to.
type Outcome uint8

const (
	Keep Outcome = iota
	Write
	Conflict
	Hold // something is wrong or unknown: this field waits, the rest flows
	Skip // the rule does not apply now: when is false, strength says no, drift is kept
)

func (o Outcome) String() string {
	return [...]string{"keep", "write", "conflict", "hold", "skip"}[o]
}

// A Verdict is the decision about one field, with everything it was made from.
type Verdict struct {
	Rule    int // index in Rules.Fields
	Row     int // of the table in field.go that matched; 0: decided before the table
	Outcome Outcome
	Moved   [2]bool
	Holds   bool
	Base    [2][]record.Value // in the order of Rule.Reads[s]
	Now     [2][]record.Value // in the order of Rule.Reads[s]
	Implied [2][]record.Value // To[s] of the other side, in the order of Rule.Paths[s]; nil where there is none
	To      [2][]record.Value // what to write, in the order of Rule.Paths[s]; nil: nothing on that side
	Policy  string            // how a conflict was decided; "" if there was none
	Why     string            // one line for people
}

// A Life is what becomes of the link as a whole.
type Life uint8

const (
	Stay     Life = iota // both records are there: the verdicts say the rest
	CreateOn             // Decision.Side has no record and gets one
	DeleteOn             // Decision.Side's record goes, because its twin did
	UpdateOn             // Decision.Side's record gets the on_gone values, then the link ends
	Detach               // nothing is written any more; comes back to life when both are in scope again
	End                  // both records are gone
	HoldLink             // contradictory: nothing is done until it clears; Why says it
	Ignore               // a record without a twin that need not have one
)

func (l Life) String() string {
	return [...]string{"stay", "create", "delete", "update", "detach", "end", "hold", "ignore"}[l]
}

// A Set is one slot that gets a value.
type Set struct {
	Slot int
	To   record.Value
	Rule int // index in Rules.Fields; -1: a marker, what a scope asks for, or an on_gone value
	At   string
	By   string // "where" or "query": the scope asks for it of a new record
	// Meant is what somebody wrote and a write of ours replaced unseen: To brings it back. nil for all else.
	Meant *record.Meant
}

// A Decision is what a run should do about one link.
type Decision struct {
	Life     Life
	Side     record.Side // of CreateOn, DeleteOn, UpdateOn
	Verdicts []Verdict   // one for each rule, in the order of the mapping, when Life is Stay or CreateOn
	Sets     [2][]Set    // what to write, by slot; at most one entry a slot
	Needs    []Needed    // look-ups to fetch before this decision means anything
	Why      string      // for everything but Stay
	Hint     string      // of HoldLink: the way out, where its cause alone does not say
	At       string      // file:line of the block that decided Life
}

// Quiet reports whether the decision writes nothing and leaves nothing open.
func (d *Decision) Quiet() bool {
	if d.Life != Stay || len(d.Sets[0])+len(d.Sets[1]) > 0 {
		return false
	}
	for _, v := range d.Verdicts {
		if v.Outcome == Conflict || v.Outcome == Hold {
			return false
		}
	}
	return true
}

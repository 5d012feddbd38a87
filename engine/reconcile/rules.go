// Package reconcile decides, for one link at a time, what must change: rules + base + records → verdicts.
//
// It is pure: no context, I/O, log, clock or randomness; the same input gives the same decision, whichever
// side is looked at first. Start with [Decide]; the truth tables of fields and lives are in field.go and
// life.go and can be read against the specification row by row. [Settle] says what becomes of the base once
// the writes are done. A failing transform is a verdict (the field is held), never an error or a panic.
package reconcile

import (
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Rules are the compiled rules of one sync.
type Rules struct {
	Sync   string
	Digest string // of everything that can change a decision
	Sides  [2]SideRules
	Fields []Rule
	Match  []Match
	First  First
	// Comments is nil where the sync carries none.
	Comments *Comments
	// Attachments is nil where the sync carries none.
	Attachments *Attachments
}

// SideRules is what a sync says of one side. Values of that side are always in the order of Paths (slots).
type SideRules struct {
	Name    string
	Paths   []string      // every path that some rule reads or writes; sorted, no duplicates
	Types   []record.Type // by slot; the zero Type where not known
	Create  bool          // records missing on this side may be created here
	Where   Condition     // scope; nil: everything is in scope. Sees only this side's values
	WhereAt string        // file:line; "" for none
	QueryAt string        // file:line of the scope in the system's own language; "" for none
	Gone    OnGone        // what the twin becomes when this side's record is gone
	Needs   []Need        // what the scope asks of a record that is created here
	Scope   []int         // slots that Where reads
	// Sure: Needs and Where are the whole of the scope. Otherwise only its system can tell what is in it.
	Sure bool
}

// A Need is a value that every record in the scope of a side shows.
type Need struct {
	Slot int
	To   record.Value
	By   string // "where" or "query"
	At   string // file:line of it
}

// An Env is what expressions see.
type Env struct {
	Values [2][]record.Value // nil on a side that has no record
	Time   time.Time         // run.time
}

// A Transform computes the values of a rule's paths on one side from what it sees of the other. It may
// return *Needed (a look-up has to be fetched first) or any other error (the field is held with it).
type Transform func(Env) ([]record.Value, error)

// A Condition is a yes or no about an Env. Errors as for Transform.
type Condition func(Env) (bool, error)

// A Rule keeps one field in step. To[s] is nil where the flow does not lead to side s.
type Rule struct {
	Name      string
	At        string       // file:line
	Paths     [2][]int     // slots that the rule writes on a side (To[s] gives their values), or, on the source side of a one-way rule, the slots it is said to be about
	Reads     [2][]int     // slots whose change counts as a move of that side: its paths and what transforms, and a one-way rule's when, read of it
	To        [2]Transform // a plain copy is a Transform too
	When      Condition    // nil: always
	Policy    Policy       // for conflicts of a two-way rule
	Strength  Strength
	Drift     Drift
	Sensitive bool
}

// TwoWay reports whether r's flow leads both ways.
func (r *Rule) TwoWay() bool { return r.To[record.Left] != nil && r.To[record.Right] != nil }

// Leads returns the side that a one-way rule flows from.
func (r *Rule) Leads() record.Side {
	if r.To[record.Right] != nil {
		return record.Left
	}
	return record.Right
}

// A Strength says when a one-way rule writes at all.
type Strength uint8

const (
	Always Strength = iota
	OnCreate
	IfEmpty
)

// A Drift says what happens when the side that may not lead was edited.
type Drift uint8

const (
	Overwrite Drift = iota
	KeepDrift
)

// First is the sync's mode on first contact.
type First struct {
	Mode FirstMode
	Side record.Side // FirstSide
}

type FirstMode uint8

const (
	FirstAsk FirstMode = iota
	FirstSide
	FirstNewest
	FirstFillEmpty
)

// A PolicyKind names how a conflict is decided.
type PolicyKind uint8

const (
	Unset PolicyKind = iota // as Ask, but a value beats a clear
	Ask
	TakeSide
	Newest
	Merge
	Union
	Highest
	Lowest
	Resolve
)

var policyNames = [...]string{"ask", "ask", "side", "newest", "merge", "union", "highest", "lowest", "resolve"}

func (k PolicyKind) String() string { return policyNames[k] }

// A Policy decides a field that moved on both sides.
type Policy struct {
	Kind     PolicyKind
	Side     record.Side   // TakeSide
	Fallback *Policy       // when the policy cannot decide (newest without measured clocks), or Deadline is over; nil: Ask
	Deadline time.Duration // Ask: how long to wait for a person; 0: for ever
	// Rank places a side's values in the declared order (Highest, Lowest); false: not in it.
	Rank func(side record.Side, values []record.Value) (int, bool)
	// Resolve gives the value of resolve = "expr" (Resolve). What it returns is taken as the side whose
	// value it equals, else as the name of a side, else as a new value in the left side's form.
	Resolve Transform
}

// A Match is one match block: two paths that carry the same value on linked records.
type Match struct {
	At     string
	Slots  [2]int
	Marker [2]bool // a create on this side writes the other side's value into its path
}

// OnGone is an on_gone block: what the twin becomes.
type OnGone struct {
	Then GoneThen
	Set  map[int]record.Value // GoneUpdate: by slot of the twin's side
	At   string
}

type GoneThen uint8

const (
	GoneDetach GoneThen = iota
	GoneUpdate
	GoneDelete
	GoneRecreate
)

func (g GoneThen) String() string { return [...]string{"detach", "update", "delete", "recreate"}[g] }

// Needed is the error of a Transform that cannot answer before a look-up was fetched. The engine fetches all
// that a batch of decisions needs at once and decides again.
type Needed struct {
	Translation string
	Column      int // 0 or 1: the column that Value stands in
	Value       record.Value
}

func (n *Needed) Error() string {
	return fmt.Sprintf("translation %s has not fetched %s yet", n.Translation, n.Value)
}

package record

import (
	"slices"
	"strings"
	"time"
)

// A Side is one end of a sync. Pairs are [2]T indexed by Side, so each algorithm is written once.
type Side uint8

const (
	Left Side = iota
	Right
)

// Sides is for range loops over both.
var Sides = [2]Side{Left, Right}

// Other is the side across.
func (s Side) Other() Side { return 1 - s }

func (s Side) String() string {
	if s == Left {
		return "left"
	}
	return "right"
}

// A Record is one row, ticket or object as its system showed it.
type Record struct {
	Key      string    // unique within its collection, never reused by the caller for another record
	Label    string    // what people call it (ServiceNow: number); "" means the key
	Version  string    // opaque; changes whenever the record does; "" when the system has none
	Modified time.Time // by the system's clock; zero when the system does not say
	Author   string    // who changed it last; "" when the system does not say
	Values   []Value   // in the order of the paths that were asked for; Absent where not delivered
}

// Clone returns r with content of its own.
func (r Record) Clone() Record {
	r.Key, r.Label, r.Version, r.Author = strings.Clone(r.Key), strings.Clone(r.Label), strings.Clone(r.Version), strings.Clone(r.Author)
	r.Values = slices.Clone(r.Values)
	for i, v := range r.Values {
		r.Values[i] = v.Clone()
	}
	return r
}

// Name is the label, or the key where there is none.
func (r Record) Name() string {
	if r.Label != "" {
		return r.Label
	}
	return r.Key
}

// Fields are values by path, for writes. A missing path is left alone.
type Fields map[string]Value

// Status is where a link stands in its life (semantics §1).
type Status uint8

const (
	Live Status = iota
	Held
	Detached
	Ended
)

func (s Status) String() string { return [...]string{"live", "held", "detached", "ended"}[s] }

// A Link is two records known to be the same thing.
//
// Base, Sent and Now are in the order of the sync's paths on that side, and nil or the same length. Base is
// what both sides showed when they last agreed; a path that never agreed is Absent there. Sent is Absent
// except where the side stored something else than what was sent: then it is what was sent. Now is nil
// where it equals Base; else it is what the side showed last (a conflict that waits, a kept drift).
type Link struct {
	ID      int64 // 0: not stored yet
	Status  Status
	Key     [2]string // "" on a side whose record does not exist (a create in flight)
	Label   [2]string
	Version [2]string
	Base    [2][]Value
	Sent    [2][]Value
	Now     [2][]Value
	Meant   []Meant // nil but for what a write of ours replaced unseen
}

// Meant is what somebody wrote in a slot between our reading and our writing, where a write cannot be made
// conditional. As long as the side shows what came of our write, the link is decided as if it showed Value.
type Meant struct {
	Side   Side
	Slot   int
	Value  Value
	Wrote  Value // what we sent
	Stored Value // what the side has shown since
	Author string
	At     time.Time // by the system's clock; zero where it does not say
}

// Shown is what side s showed last: Now, or Base where nothing else was seen.
func (l *Link) Shown(s Side) []Value {
	if l.Now[s] != nil {
		return l.Now[s]
	}
	return l.Base[s]
}

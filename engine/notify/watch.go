// Package notify tells people what they would otherwise have to look for: that a sync has had no good run for too
// long, that something waits too long, that limits stopped a plan, that a system refuses the credentials.
//
// A [Watch] decides from the vitals of the syncs what is to be said, and a [Channel] carries it. The same vitals at the
// same moments give the same notices. Nothing of a record is in them. What cannot be delivered is tried again.
package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/engine/telemetry"
)

// A Kind is what a notice is about.
type Kind string

const (
	Late    Kind = "late"    // no good run for longer than Rules.Late
	Stuck   Kind = "stuck"   // holds or conflicts wait for longer than Rules.Stuck
	Stopped Kind = "stopped" // limits keep a plan from being carried out
	Refused Kind = "refused" // a system refused the credentials
)

// Kinds are all of them, the most urgent first.
var Kinds = []Kind{Refused, Stopped, Late, Stuck}

// Rules say what one channel wants to hear.
type Rules struct {
	On    []Kind
	Late  time.Duration
	Stuck time.Duration
	Again time.Duration // what lasts is said again after this long
}

// A Notice is one thing to tell of one sync.
type Notice struct {
	Kind  Kind      `json:"kind"`
	Sync  string    `json:"sync"`
	Over  bool      `json:"over"` // it was told before, and is no longer so
	Since time.Time `json:"since,omitzero"`
	Text  string    `json:"text"` // a sentence
	Do    string    `json:"do,omitempty"`
}

// A Watch remembers what was said on one channel. The zero value with Rules has said nothing yet. It travels as JSON, so
// that another process goes on where one ended.
type Watch struct {
	Rules Rules     `json:"-"`
	Began time.Time `json:"-"` // of the service: a sync that never had a good run is late from then on

	said map[place]telling
}

type place struct {
	sync string
	kind Kind
}

type telling struct {
	since, at time.Time
}

// A line is a telling as it travels.
type line struct {
	Sync  string    `json:"sync"`
	Kind  Kind      `json:"kind"`
	Since time.Time `json:"since"`
	At    time.Time `json:"at"`
}

// MarshalJSON writes what was said.
func (w *Watch) MarshalJSON() ([]byte, error) {
	lines := []line{}
	for at, said := range w.said {
		lines = append(lines, line{at.sync, at.kind, said.since, said.at})
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(strings.Compare(a.Sync, b.Sync), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return json.Marshal(lines)
}

// UnmarshalJSON takes over what was said.
func (w *Watch) UnmarshalJSON(data []byte) error {
	var lines []line
	if err := json.Unmarshal(data, &lines); err != nil {
		return err
	}
	w.said = map[place]telling{}
	for _, l := range lines {
		w.said[place{l.Sync, l.Kind}] = telling{l.Since, l.At}
	}
	return nil
}

// Due returns what is to be said now, the most urgent first. What it returns is not due again until [Watch.Told] was
// called and Again is over; what was never told stays due.
func (w *Watch) Due(now time.Time, vitals []telemetry.Vital) []Notice {
	var due []Notice
	here := map[place]bool{}
	for _, kind := range Kinds {
		if !slices.Contains(w.Rules.On, kind) {
			continue
		}
		for i := range vitals {
			n, so := w.look(kind, &vitals[i], now)
			if !so {
				continue
			}
			at := place{n.Sync, kind}
			here[at] = true
			if said, ok := w.said[at]; !ok || now.Sub(said.at) >= w.Rules.Again {
				due = append(due, n)
			}
		}
	}
	var over []Notice
	for at, said := range w.said {
		if !here[at] {
			over = append(over, Notice{Kind: at.kind, Sync: at.sync, Over: true, Since: said.since, Text: at.sync + ": " + ended[at.kind] + "."})
		}
	}
	slices.SortFunc(over, func(a, b Notice) int { return strings.Compare(a.Text, b.Text) })
	return append(due, over...)
}

// Told remembers that a notice was delivered.
func (w *Watch) Told(n Notice, now time.Time) {
	at := place{n.Sync, n.Kind}
	if n.Over {
		delete(w.said, at)
		return
	}
	if w.said == nil {
		w.said = map[place]telling{}
	}
	w.said[at] = telling{n.Since, now}
}

var ended = map[Kind]string{
	Late:    "it had a good run again",
	Stuck:   "nothing waits for so long any more",
	Stopped: "its plan is no longer stopped",
	Refused: "the credentials are accepted again",
}

func (w *Watch) look(kind Kind, v *telemetry.Vital, now time.Time) (n Notice, so bool) {
	n = Notice{Kind: kind, Sync: v.Sync}
	switch kind {
	case Refused:
		if !v.Refused || v.LastRun == nil {
			return n, false
		}
		n.Since = v.LastRun.Started
		n.Text = fmt.Sprintf("%s: a system refuses the credentials: %s.", v.Sync, why(v))
		n.Do = "fieldsync check; mend the account or the secret, the next run goes on by itself"
	case Stopped:
		if v.LastRun == nil || !v.LastRun.Stopped || v.Approval != nil {
			return n, false
		}
		n.Since = v.LastRun.Started
		n.Text = fmt.Sprintf("%s: a plan waits for approval: %s.", v.Sync, why(v))
		n.Do = "fieldsync plan " + v.Sync + "; then fieldsync approve " + v.Sync
	case Late:
		last := v.LastGood
		if last.IsZero() || last.Before(w.Began) && now.Sub(w.Began) < w.Rules.Late {
			last = w.Began // it may have been off for long: it gets its time to catch up
		}
		if v.Paused || now.Sub(last) < w.Rules.Late {
			return n, false
		}
		n.Since = v.LastGood
		n.Text = fmt.Sprintf("%s: no good run since %s.", v.Sync, stamp(v.LastGood))
		if v.LastRun != nil && v.LastRun.Err != "" {
			n.Text = fmt.Sprintf("%s: no good run since %s: %s.", v.Sync, stamp(v.LastGood), why(v))
		}
		n.Do = "fieldsync runs " + v.Sync
	case Stuck:
		n.Since = v.Holds.Oldest
		what, do := "a hold", "fieldsync holds "+v.Sync
		if !v.Asks.Oldest.IsZero() && (n.Since.IsZero() || v.Asks.Oldest.Before(n.Since)) {
			n.Since, what, do = v.Asks.Oldest, "a conflict", "fieldsync conflicts "+v.Sync
		}
		if n.Since.IsZero() || now.Sub(n.Since) < w.Rules.Stuck {
			return n, false
		}
		n.Text = fmt.Sprintf("%s: %s has waited since %s; %d holds and %d conflicts in all.", v.Sync, what, stamp(n.Since), v.Held, v.Conflicts)
		n.Do = do
	}
	return n, true
}

// why is what the last run ended with, without the name that the sentence begins with.
func why(v *telemetry.Vital) string {
	return strings.TrimSuffix(strings.TrimPrefix(v.LastRun.Err, v.Sync+": "), ".")
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "it began"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

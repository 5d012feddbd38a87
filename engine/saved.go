package engine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/fieldsync/fieldsync/engine/plan"
)

// A saved plan is lines of JSON: {"plan": header}, one {"item": …} for each item, {"end": footer}. The digest
// in the footer is of the sync, its rules, the actions between and what stops them, so that an approval is of exactly
// what was shown, and does not depend on when it was.
type planLine struct {
	Plan *plan.Header `json:"plan,omitempty"`
	Item *plan.Item   `json:"item,omitempty"`
	End  *plan.Footer `json:"end,omitempty"`
}

// maxPlanLine bounds one line of a plan file.
const maxPlanLine = 64 << 20

// Write saves the plan.
func (r *Run) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(planLine{Plan: &r.header}); err != nil {
		return err
	}
	for it, err := range r.Items() {
		if err != nil {
			return err
		}
		if err := e.Encode(planLine{Item: &it}); err != nil {
			return err
		}
	}
	if err := e.Encode(planLine{End: &r.footer}); err != nil {
		return err
	}
	return b.Flush()
}

// A SavedPlan is what a plan file approves.
type SavedPlan struct {
	Header  plan.Header
	Footer  plan.Footer
	Actions map[string]plan.Action // by ActionDigest
}

// ErrPlanFile is wrapped by what is wrong with a plan file.
var ErrPlanFile = errors.New("not a whole plan file")

// ReadPlans reads the plans that one file holds, one after the other, and checks that they are whole and
// unaltered.
func ReadPlans(rd io.Reader) ([]*SavedPlan, error) {
	sc := bufio.NewScanner(rd)
	sc.Buffer(nil, maxPlanLine)
	var plans []*SavedPlan
	var cur *SavedPlan
	var sum *planDigest
	for n := 1; sc.Scan(); n++ {
		var l planLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrPlanFile, n, err)
		}
		switch {
		case l.Plan != nil && cur == nil:
			cur = &SavedPlan{Header: *l.Plan, Actions: map[string]plan.Action{}}
			sum = newPlanDigest(l.Plan.Sync, l.Plan.Rules)
		case l.Item != nil && cur != nil:
			if l.Item.Action != nil {
				d := sum.add(*l.Item.Action)
				cur.Actions[d] = *l.Item.Action
			}
		case l.End != nil && cur != nil:
			sum.stop(l.End.Stops)
			if cur.Footer = *l.End; sum.String() != l.End.Digest {
				return nil, fmt.Errorf("%w: line %d: its content does not have the digest %s: it was altered after it was made", ErrPlanFile, n, l.End.Digest)
			}
			plans, cur = append(plans, cur), nil
		default:
			return nil, fmt.Errorf("%w: line %d is out of place", ErrPlanFile, n)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlanFile, err)
	}
	if cur != nil || len(plans) == 0 {
		return nil, fmt.Errorf("%w: it ends too early", ErrPlanFile)
	}
	return plans, nil
}

// ActionDigest names an action by everything that it would do and what that was decided on.
func ActionDigest(a plan.Action) string {
	data, err := json.Marshal(a)
	if err != nil {
		panic(err) // plain data always marshals
	}
	return digestOf(data)
}

func digestOf(action []byte) string {
	sum := sha256.Sum256(action)
	return hex.EncodeToString(sum[:12])
}

type planDigest struct{ h hash.Hash }

func newPlanDigest(sync, rules string) *planDigest {
	d := &planDigest{h: sha256.New()}
	fmt.Fprintf(d.h, "%q %q\n", sync, rules)
	return d
}

func (d *planDigest) add(a plan.Action) string {
	s := ActionDigest(a)
	d.name(s)
	return s
}

func (d *planDigest) name(digest string) { io.WriteString(d.h, digest+"\n") }

// stop adds which limits and gates the plan runs into, so that an approval of one does not pass another.
func (d *planDigest) stop(stops []plan.Stop) {
	for _, s := range stops {
		fmt.Fprintf(d.h, "stop %q\n", s.Limit)
	}
}

func (d *planDigest) String() string { return hex.EncodeToString(d.h.Sum(nil)[:16]) }

func (r *Run) digest() (string, error) {
	d := newPlanDigest(r.rules.Sync, r.rules.Digest)
	err := r.each(context.Background(), orderCreate, func(u unit) error {
		switch {
		case u.digest != "":
			d.name(u.digest)
		case u.Item.Action != nil:
			d.add(*u.Item.Action)
		}
		return nil
	})
	d.stop(r.footer.Stops)
	return d.String(), err
}

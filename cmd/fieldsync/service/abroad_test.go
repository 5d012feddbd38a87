package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestOtherNodesSeeTheLatestStepsOfARun(t *testing.T) {
	l := newLive(time.Now)
	f := l.follow("a")
	f.began(plan.Run{ID: 7})
	for i := range 130 {
		c := plan.Change{Path: "title", To: record.OfText(fmt.Sprint("value ", i))}
		if i == 129 {
			c.To, c.Sensitive = record.OfText("hush"), true
		}
		f.result(plan.Result{Action: plan.Action{Kind: plan.Update, Key: fmt.Sprint(i), Changes: []plan.Change{c}}, Outcome: plan.Done})
	}
	f.result(plan.Result{Action: plan.Action{Kind: plan.Update, Key: "bad"}, Outcome: plan.Failed, Why: "refused"})
	all, fresh := l.excerpts("one")
	if !slices.Equal(fresh, []string{"a"}) {
		t.Errorf("something is new of %q", fresh)
	}
	if _, fresh = l.excerpts("one"); len(fresh) > 0 {
		t.Errorf("it is still new: %q", fresh)
	}
	body, err := json.Marshal(all["a"])
	if err != nil {
		t.Fatal(err)
	}
	var x excerpt
	if err := json.Unmarshal(body, &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Steps) != abroad || x.Left != 131-abroad || x.Done != 130 || x.Failed != 1 || x.Progress.Run != 7 {
		t.Errorf("%d steps, %d left, %d done, %d failed, of run %d", len(x.Steps), x.Left, x.Done, x.Failed, x.Progress.Run)
	}
	if last := x.Steps[abroad-1]; last.Action.Key != "bad" || last.Why != "refused" {
		t.Errorf("the latest is %+v", last)
	}
	if bytes.Contains(body, []byte("hush")) || !bytes.Contains(body, []byte("value 128")) {
		t.Errorf("a sensitive value is shown, or one that is not is hidden: %s", body)
	}
	if want := "It runs on another node, one. Its latest 50 steps of 131 are shown."; x.missing() != want {
		t.Errorf("it says %q, want %q", x.missing(), want)
	}
	if f.end(); len(l.running) > 0 {
		t.Error("it still runs")
	}
	if all, fresh = l.excerpts("one"); len(all) > 0 || !slices.Equal(fresh, []string{"a"}) {
		t.Errorf("after its end there are %v, %q", all, fresh)
	}
	l.heard("a")
	if _, fresh = l.excerpts("one"); len(fresh) > 0 {
		t.Errorf("what another node said is said on: %q", fresh)
	}
}

func TestALogInThatWasEndedIsEndedOnEveryNode(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one := bare(t, &now)
	two := &service{state: one.state, now: one.now, log: one.log}
	is := func(want bool) {
		t.Helper()
		if ended, err := (endings{two}).Is(t.Context(), "id"); err != nil || ended != want {
			t.Errorf("ended: %v, %v; want %v", ended, err, want)
		}
	}
	is(false)
	if err := (endings{one}).End(t.Context(), "id", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	is(true)
	now = now.Add(time.Hour)
	is(false) // as its cookie is over
}

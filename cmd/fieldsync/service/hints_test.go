package service

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/engine/record"
)

func TestWhatWasSaidWaitsBySync(t *testing.T) {
	var h hints
	if h.take("a") != nil || h.waits("a") {
		t.Error("nothing was said, and something waits")
	}
	for range 3 {
		h.add("a", record.Left, "T-2")
		h.add("a", record.Left, "T-1")
		h.add("a", record.Right, "9")
	}
	h.add("b", record.Left, "T-3")
	was := h.take("a")
	if diff := cmp.Diff([2][]string{{"T-1", "T-2"}, {"9"}}, was.only()); diff != "" {
		t.Error(diff)
	}
	if h.take("a") != nil || !h.waits("b") {
		t.Error("what was taken is there again, or what another sync was told is gone")
	}
	h.add("a", record.Left, "T-4")
	h.putBack("a", was)
	if diff := cmp.Diff([2][]string{{"T-1", "T-2", "T-4"}, {"9"}}, h.take("a").only()); diff != "" {
		t.Error(diff)
	}

	h.add("a", record.Left, "T-1")
	h.add("a", record.Right, "")
	if was = h.take("a"); was == nil || !was.all || len(was.only()[0]) > 0 {
		t.Errorf("a change that names nothing has to have all looked at: %+v", was)
	}
	h.putBack("a", was)
	h.add("a", record.Left, "T-1")
	if was = h.take("a"); !was.all {
		t.Error("after it came back it names one record")
	}
	for i := range mostHints + 1 {
		h.add("a", record.Side(i%2), fmt.Sprint(i))
	}
	if was = h.take("a"); !was.all || len(was.keys[0])+len(was.keys[1]) > 0 {
		t.Errorf("%d records are remembered by name", len(was.keys[0])+len(was.keys[1]))
	}
}

func TestASyncThatFailsRestsLongerEachTime(t *testing.T) {
	var h hints
	if a, b := h.failed("a"), h.failed("a"); a != hintSoon || b != 2*hintSoon {
		t.Errorf("it rests %s, then %s", a, b)
	}
	for range 20 {
		h.failed("a")
	}
	if got := h.failed("a"); got != hintLater {
		t.Errorf("at last it rests %s", got)
	}
	h.succeeded("a")
	if got := h.failed("a"); got != hintSoon {
		t.Errorf("after a good run it rests %s", got)
	}
}

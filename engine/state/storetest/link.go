package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

func linkRoundTrip(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	full := link("T-1", "1")
	full.Sent = [2][]record.Value{nil, {record.Value{}, record.OfInt(2), record.Value{}}}
	full.Now = [2][]record.Value{texts("closed", "x"), nil}
	full.Meant = []record.Meant{
		{Side: right, Slot: 1, Value: record.OfInt(3), Wrote: record.OfInt(4), Stored: record.NullValue, Author: "ann", At: noon},
		{Side: left, Slot: 0, Value: record.OfText("t"), Wrote: record.OfText(" u"), Stored: record.OfText("u")},
	}
	half := &record.Link{Status: record.Held, Key: [2]string{"T-2", ""}}
	for _, l := range []*record.Link{full, half} {
		added(t, b, l)
		same(t, "link by ID", l, byID(t, b, l.ID))
		same(t, "link by key", l, byKey(t, b, left, l.Key[0]))
	}
	if full.ID == half.ID {
		t.Errorf("both links have ID %d", full.ID)
	}
	if got := byKey(t, b, right, ""); got != nil {
		t.Errorf("an empty key finds %v", got)
	}
	if got := byKey(t, b, right, "T-1"); got != nil {
		t.Errorf("a key of the left finds %v on the right", got)
	}

	half.Status, half.Key, half.Base = record.Live, [2]string{"T-2", "2"}, link("", "").Base
	full.Now, full.Sent, full.Version, full.Meant = [2][]record.Value{}, [2][]record.Value{}, [2]string{"v2", "8"}, nil
	fold(t, b, engine.Fold{Link: half}, engine.Fold{Link: full})
	same(t, "changed link", full, byKey(t, b, right, "1"))
	same(t, "completed link", half, byKey(t, b, right, "2"))
	got := byID(t, b, full.ID)
	if got.Now[0] != nil || got.Sent[1] != nil || got.Base[0] == nil {
		t.Errorf("nil became something, or the other way: %v", got)
	}
	if n, err := b.CountLinks(t.Context()); n != 2 || err != nil {
		t.Errorf("counted %d, %v; want 2", n, err)
	}
	if got := byID(t, b, 12345); got != nil {
		t.Errorf("link 12345 is %v", got)
	}
}

// linksTogether are as many as take several statements, among others that are not there.
func linksTogether(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	folds := make([]engine.Fold, 700)
	for i := range folds {
		folds[i].Link = link(fmt.Sprintf("T-%d", i), fmt.Sprint(i))
	}
	fold(t, b, folds...)
	want := map[int64]record.Link{}
	var keys []string
	ids := []int64{12345}
	for i := 0; i < len(folds); i += 2 {
		l := folds[i].Link
		want[l.ID] = *l
		keys, ids = append(keys, l.Key[right], "no "+l.Key[right]), append(ids, l.ID)
	}
	for name, found := range map[string][]record.Link{
		"by key": collect(t, func(emit func(record.Link) error) error { return b.LinksOf(t.Context(), right, keys, emit) }),
		"by id":  collect(t, func(emit func(record.Link) error) error { return b.LinksByID(t.Context(), ids, emit) }),
	} {
		got := map[int64]record.Link{}
		for _, l := range found {
			got[l.ID] = l
		}
		if len(found) != len(got) {
			t.Errorf("%s: %d links came, %d of them different", name, len(found), len(got))
		}
		same(t, name, want, got)
	}
	other := book(t, s, "b", paths)
	if found := collect(t, func(emit func(record.Link) error) error { return other.LinksByID(t.Context(), ids, emit) }); len(found) != 0 {
		t.Errorf("another sync sees %d links", len(found))
	}
}

func oneLink(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	first := added(t, b, link("T-1", "1"))
	for _, l := range []*record.Link{link("T-1", "2"), link("T-2", "1"), link("T-1", "")} {
		if err := b.Fold(t.Context(), []engine.Fold{{Link: l}}); err == nil || l.ID != 0 {
			t.Errorf("a second link %v was stored as %d (%v)", l.Key, l.ID, err)
		}
	}
	// The key is free as soon as the first link ended, in the same call too, whichever comes first.
	first.Status = record.Ended
	second := link("T-1", "2")
	fold(t, b, engine.Fold{Link: second}, engine.Fold{Link: first, End: "gone"})
	same(t, "link by key", second, byKey(t, b, left, "T-1"))
	same(t, "the ended link", first, byID(t, b, first.ID))
	if n, _ := b.CountLinks(t.Context()); n != 1 {
		t.Errorf("counted %d links, want 1", n)
	}
}

func refusedFold(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	taken := added(t, b, link("T-1", "1"))
	short := link("T-8", "8")
	short.Base[1] = texts("one")
	good1, good2 := link("T-2", "2"), link("T-3", "3")
	bad := engine.Fold{Link: link("T-9", "1"), Prints: [2]*engine.Print{{Hash: 9, Print: 9}, nil}, Lost: []engine.Lost{{Path: "title"}}}
	err := b.Fold(t.Context(), []engine.Fold{{Link: good1, Prints: [2]*engine.Print{{Hash: 2, Print: 2}, nil}}, bad, {Link: short},
		{Link: &record.Link{ID: 777, Key: [2]string{"T-7", "7"}}}, {Decided: true}, {Link: good2}})
	if err == nil {
		t.Fatal("folds that cannot be stored gave no error")
	}
	if !strings.Contains(err.Error(), "T-9") {
		t.Errorf("%v does not name the record", err)
	}
	same(t, "the first of the others", good1, byKey(t, b, left, "T-2"))
	same(t, "the last of the others", good2, byKey(t, b, left, "T-3"))
	same(t, "the one before", taken, byKey(t, b, right, "1"))
	if bad.Link.ID != 0 || short.ID != 0 {
		t.Error("a refused link has an ID")
	}
	if _, found, _ := b.Print(t.Context(), left, 9); found {
		t.Error("half of a refused fold was stored")
	}
	if _, found, _ := b.Print(t.Context(), left, 2); !found {
		t.Error("half of a good fold is missing")
	}
	if n, _ := b.CountLinks(t.Context()); n != 3 {
		t.Errorf("counted %d links, want 3", n)
	}
}

func linksWhileFolding(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	var folds []engine.Fold
	for i := range 1000 {
		l := link(fmt.Sprintf("T-%d", i), fmt.Sprint(i))
		l.Status = []record.Status{record.Live, record.Held, record.Detached, record.Ended}[i%4]
		folds = append(folds, engine.Fold{Link: l})
	}
	fold(t, b, folds...)
	for _, status := range []record.Status{record.Live, record.Held, record.Detached, record.Ended} {
		var want []int64
		for _, f := range folds {
			if f.Link.Status == status {
				want = append(want, f.Link.ID)
			}
		}
		slices.Sort(want)
		var got []int64
		err := b.Links(t.Context(), status, func(l record.Link) error {
			got = append(got, l.ID)
			l.Version[0] = "folded"
			return b.Fold(t.Context(), []engine.Fold{{Link: &l}})
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, status.String()+" links", want, got)
	}
	if got := byID(t, b, folds[998].Link.ID); got.Version[0] != "folded" {
		t.Errorf("what was folded while listing is lost: %v", got)
	}
}

// oddKeys are such as other systems may have. What is not UTF-8 comes back, in whatever order.
func oddKeys(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	sorted := []string{"\x00", "\x00\x00a", "\x01", "\x01a", "\x02", " ", "A", "a", "a\x00", "a\x00b", "a\x01", "a\x01\x01", "aa", "b", "é", "\u0081", "☃", "\U0001f600"}
	slices.Sort(sorted)
	var folds []engine.Fold
	for _, key := range append([]string{"\xff", "x\xc3(", "\x01\xfe\x00"}, sorted...) {
		folds = append(folds, engine.Fold{Link: &record.Link{Key: [2]string{key, ""}, Version: [2]string{key, key}, Label: [2]string{key, key}}})
	}
	fold(t, b, folds...)
	for _, f := range folds {
		same(t, fmt.Sprintf("link of %q", f.Link.Key[0]), f.Link, byKey(t, b, left, f.Link.Key[0]))
	}
	var all []string
	for after := ""; ; {
		page, err := b.KeysAfter(ctx, left, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range page {
			if after = key; utf8.ValidString(key) {
				all = append(all, key)
			}
		}
		if len(page) < 3 {
			break
		}
	}
	same(t, "keys by key", sorted, all)
}

func keys(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	want := [2]map[string]int64{{}, {}}
	var folds []engine.Fold
	for i := range 9000 {
		l := link(fmt.Sprintf("T-%d", i), fmt.Sprint(i))
		l.Status = []record.Status{record.Live, record.Live, record.Held, record.Detached, record.Ended}[i%5]
		if i%7 == 0 {
			l.Key[1] = ""
		}
		folds = append(folds, engine.Fold{Link: l})
	}
	fold(t, b, folds...)
	for _, f := range folds {
		for _, side := range record.Sides {
			if f.Link.Status <= record.Held && f.Link.Key[side] != "" {
				want[side][f.Link.Key[side]] = f.Link.ID
			}
		}
	}
	for _, side := range record.Sides {
		got := map[string]int64{}
		if err := b.Keys(t.Context(), side, func(id int64, key string) error {
			if got[key] != 0 {
				t.Errorf("key %s comes twice", key)
			}
			got[key] = id
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		same(t, "keys of the "+side.String(), want[side], got)

		after, sorted := "", slices.Sorted(maps.Keys(want[side]))
		for round := 0; ; round++ {
			some, err := b.KeysAfter(t.Context(), side, after, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(some) == 0 {
				break
			}
			same(t, fmt.Sprint("keys after ", after), sorted[round*1000:min(round*1000+1000, len(sorted))], some)
			after = some[len(some)-1]
		}
		if after != sorted[len(sorted)-1] {
			t.Errorf("the last of the keys by portions is %s, want %s", after, sorted[len(sorted)-1])
		}
	}
}

func projection(t *testing.T, s engine.Store) {
	old := book(t, s, "a", [2][]string{{"status", "title"}, {"state"}})
	l := &record.Link{Key: [2]string{"T-1", "1"}, Base: [2][]record.Value{texts("open", "hello"), texts("2")}, Now: [2][]record.Value{texts("closed", "hello"), nil}}
	added(t, old, l)

	b := book(t, s, "a", [2][]string{{"queue", "title", "status"}, nil})
	want := *l
	want.Base = [2][]record.Value{{record.Value{}, record.OfText("hello"), record.OfText("open")}, {}}
	want.Now = [2][]record.Value{{record.Value{}, record.OfText("hello"), record.OfText("closed")}, nil}
	got := byKey(t, b, left, "T-1")
	same(t, "re-ordered link", &want, got)
	got.Base[0][0] = record.OfText("noc")
	fold(t, b, engine.Fold{Link: got})

	want = *l
	want.Base = [2][]record.Value{texts("open", "hello"), {record.Value{}}}
	same(t, "link under the old paths, which the right had lost", &want, byKey(t, old, left, "T-1"))
	reading, err := s.Book(t.Context(), "a", [2][]string{{"queue"}, {"never heard of"}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "base under paths nobody stored", [2][]record.Value{texts("noc"), {record.Value{}}}, byKey(t, reading, left, "T-1").Base)
}

func tombs(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	l := added(t, b, link("T-1", "1"))
	dead := func(side record.Side, key string, at time.Time) bool {
		t.Helper()
		yes, err := b.Tomb(ctx, side, key, at)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	if dead(left, "T-1", noon) {
		t.Error("a live link has a tomb")
	}
	l.Status = record.Ended
	fold(t, b, engine.Fold{Link: l, End: "both gone", TombUntil: noon.Add(time.Hour)})
	for _, c := range []struct {
		side record.Side
		key  string
		at   time.Time
		want bool
	}{{left, "T-1", noon, true}, {right, "1", noon, true}, {right, "T-1", noon, false}, {left, "T-1", noon.Add(2 * time.Hour), false}} {
		if got := dead(c.side, c.key, c.at); got != c.want {
			t.Errorf("tomb of %s on the %s at %s is %v", c.key, c.side, c.at, got)
		}
	}
	if got := byKey(t, b, left, "T-1"); got != nil {
		t.Errorf("an ended link is found by its key: %v", got)
	}
	l.Status = record.Live
	fold(t, b, engine.Fold{Link: l})
	same(t, "the link that lives again", l, byKey(t, b, right, "1"))
	if dead(left, "T-1", noon) || dead(right, "1", noon) {
		t.Error("a link that lives again has a tomb")
	}
	l.Status = record.Ended
	fold(t, b, engine.Fold{Link: l, TombUntil: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)})
	if !dead(left, "T-1", noon.AddDate(200, 0, 0)) {
		t.Error("a tomb for ever ran out")
	}
}

func prints(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	var folds []engine.Fold
	var want []engine.Print
	for i := range uint64(20000) {
		p := engine.Print{Hash: (i + 1) * 0x9E3779B97F4A7C15, Print: ^i}
		want = append(want, p)
		folds = append(folds, engine.Fold{Prints: [2]*engine.Print{&p, nil}})
	}
	extremes := []engine.Print{{Hash: 0, Print: 1}, {Hash: 1 << 63, Print: 1 << 63}, {Hash: 1<<63 - 1, Print: 0}, {Hash: ^uint64(0), Print: 2}}
	for _, p := range extremes {
		want = append(want, p)
		folds = append(folds, engine.Fold{Prints: [2]*engine.Print{&p, nil}})
	}
	fold(t, b, folds...)
	slices.SortFunc(want, func(x, y engine.Print) int {
		if x.Hash < y.Hash {
			return -1
		}
		return 1
	})
	list := func(side record.Side) []engine.Print {
		return collect(t, func(emit func(engine.Print) error) error { return b.Prints(ctx, side, emit) })
	}
	if got := list(left); !slices.Equal(want, got) {
		t.Errorf("%d fingerprints came back of %d, or not in order", len(got), len(want))
	}
	if got := list(right); len(got) != 0 {
		t.Errorf("the other side has %d fingerprints", len(got))
	}
	for _, p := range extremes {
		if got, found, err := b.Print(ctx, left, p.Hash); !found || err != nil || got != p {
			t.Errorf("fingerprint %v came back as %v, %v, %v", p, got, found, err)
		}
	}
	var hashes []uint64
	for i, p := range want {
		if hashes = append(hashes, p.Hash); i%2 == 0 {
			hashes = append(hashes, p.Hash^1<<40)
		}
	}
	some := collect(t, func(emit func(engine.Print) error) error { return b.PrintsOf(ctx, left, hashes, emit) })
	slices.SortFunc(some, func(x, y engine.Print) int { return cmp.Compare(x.Hash, y.Hash) })
	if !slices.Equal(want, some) {
		t.Errorf("of %d fingerprints that were asked for by name %d came back", len(want), len(some))
	}
	fold(t, b, engine.Fold{Forget: [2]uint64{1 << 63, 0}}, engine.Fold{Prints: [2]*engine.Print{{Hash: ^uint64(0), Print: 3}}})
	if _, found, _ := b.Print(ctx, left, 1<<63); found {
		t.Error("a forgotten fingerprint is still there")
	}
	if got, _, _ := b.Print(ctx, left, ^uint64(0)); got.Print != 3 {
		t.Errorf("a replaced fingerprint is %v", got)
	}
}

func printsInOneBatch(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	set := func(p uint64) engine.Fold { return engine.Fold{Prints: [2]*engine.Print{nil, {Hash: 5, Print: p}}} }
	forget := engine.Fold{Forget: [2]uint64{0, 5}}
	for _, c := range []struct {
		name  string
		folds []engine.Fold
		want  uint64 // 0: none
	}{
		{"set twice", []engine.Fold{set(1), set(2)}, 2},
		{"set and forgotten", []engine.Fold{set(1), forget}, 0},
		{"forgotten and set", []engine.Fold{forget, set(3)}, 3},
		{"both in one fold", []engine.Fold{{Forget: forget.Forget, Prints: set(4).Prints}}, 4},
	} {
		fold(t, b, c.folds...)
		p, found, err := b.Print(t.Context(), right, 5)
		if err != nil || found != (c.want != 0) || p.Print != c.want {
			t.Errorf("%s: got %v, %v, %v; want %d", c.name, p, found, err, c.want)
		}
	}
}

func apart(t *testing.T, s engine.Store) {
	ctx := t.Context()
	a, b := book(t, s, "a", paths), book(t, s, "b", paths)
	l := link("T-1", "1")
	fold(t, a, engine.Fold{Link: l, Prints: [2]*engine.Print{{Hash: 1, Print: 1}, nil}, Decided: true, Waiting: []engine.Waiting{{Hold: holdOf("title", "x")}}})
	in := &engine.Intent{Kind: plan.Update, Link: l.ID}
	if err := a.Intend(ctx, []*engine.Intent{in}); err != nil {
		t.Fatal(err)
	}
	if byKey(t, b, left, "T-1") != nil || byID(t, b, l.ID) != nil {
		t.Error("another sync sees the link")
	}
	if err := b.Fold(ctx, []engine.Fold{{Link: &record.Link{ID: l.ID, Key: [2]string{"stolen", ""}}}}); err == nil {
		t.Error("another sync changed the link")
	}
	fold(t, b, engine.Fold{Intent: in.ID, Forget: [2]uint64{1, 0}})
	if ins, _ := a.Intents(ctx); len(ins) != 1 {
		t.Errorf("another sync closed the intent: %v", ins)
	}
	if _, found, _ := a.Print(ctx, left, 1); !found {
		t.Error("another sync forgot the fingerprint")
	}
	if ws := collect(t, func(emit func(engine.Waiting) error) error { return b.Waiting(ctx, 0, emit) }); len(ws) != 0 {
		t.Errorf("another sync sees what waits: %v", ws)
	}
	added(t, b, link("T-1", "1"))
	same(t, "the first sync's link", l, byKey(t, a, left, "T-1"))
}

func intents(t *testing.T, s engine.Store) {
	ctx := t.Context()
	b := book(t, s, "a", paths)
	var ins []*engine.Intent
	for i := range 100 {
		ins = append(ins, &engine.Intent{Link: int64(i), Kind: plan.Create, Side: right, Twin: fmt.Sprintf("T-%d", i), Marker: "correlation_id", At: noon, Run: 3,
			New: record.Fields{"short": record.OfText("x"), "state": record.NullValue}})
	}
	ins[0].Kind, ins[0].Key, ins[0].Version = plan.Update, "1", "7"
	ins[0].Expected, ins[0].Source = record.Fields{"short": record.OfText("was")}, record.Fields{"title": record.UnknownValue}
	if err := b.Intend(ctx, ins); err != nil {
		t.Fatal(err)
	}
	open := func() []engine.Intent {
		t.Helper()
		got, err := b.Intents(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := make([]engine.Intent, len(ins))
	for i, in := range ins {
		want[i] = *in
		if in.ID == 0 || (i > 0 && in.ID <= ins[i-1].ID) {
			t.Fatalf("intent %d has ID %d", i, in.ID)
		}
	}
	same(t, "open intents", want, open())
	fold(t, b, engine.Fold{Intent: ins[1].ID}, engine.Fold{Intent: ins[99].ID, Link: link("T-99", "99")})
	same(t, "after two are closed", append(want[:1:1], want[2:99]...), open())
	last := ins[99].ID
	next := &engine.Intent{Kind: plan.Delete}
	if err := b.Intend(ctx, []*engine.Intent{next}); err != nil || next.ID <= last {
		t.Errorf("the next intent has ID %d after %d (%v)", next.ID, last, err)
	}
}

func concurrentFolds(t *testing.T, s engine.Store) {
	b := book(t, s, "a", paths)
	added(t, b, link("taken", "taken"))
	const callers, each = 16, 20
	var wg sync.WaitGroup
	all := make([][]*record.Link, callers)
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				key := fmt.Sprintf("%d-%d", i, j)
				l := link("T-"+key, key)
				if j%5 == 4 {
					l.Key[0] = "taken"
				}
				in := &engine.Intent{Kind: plan.Create, Twin: key}
				if err := b.Intend(t.Context(), []*engine.Intent{in}); err != nil {
					t.Errorf("intend %s: %v", key, err)
				}
				err := b.Fold(t.Context(), []engine.Fold{{Link: l, Intent: in.ID}})
				if (err != nil) != (j%5 == 4) {
					t.Errorf("fold of %s: %v", key, err)
				}
				if err == nil {
					all[i] = append(all[i], l)
				}
			}
		})
	}
	wg.Wait()
	ids := map[int64]bool{}
	for _, ls := range all {
		for _, l := range ls {
			if ids[l.ID] {
				t.Errorf("ID %d was given twice", l.ID)
			}
			ids[l.ID] = true
			same(t, "link", l, byID(t, b, l.ID))
		}
	}
	if n, _ := b.CountLinks(t.Context()); n != callers*each*4/5+1 {
		t.Errorf("counted %d links", n)
	}
	if ins, _ := b.Intents(t.Context()); len(ins) != callers*each/5 {
		t.Errorf("%d intents are open, want those of the refused folds", len(ins))
	}
}

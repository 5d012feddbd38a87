package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// calm is a story whose runs have no troubles of their own.
func calm(s story) story {
	s.Steps = slices.Clone(s.Steps)
	for i := range s.Steps {
		s.Steps[i].Run = trouble{Full: s.Steps[i].Run.Full}
	}
	return s
}

// A clockwork lives a story with a fixed hour for each step, so that two lives of it can be compared. around may
// let the process die in a run; the run is then repeated until it gets through.
func clockwork(dir string, s story, flip bool, around func(w *history, step int)) (*history, error) {
	w, err := newHistory(dir, s.Config)
	if err != nil {
		return nil, err
	}
	defer w.close()
	w.flip = flip
	start := w.now
	for i, st := range s.Steps {
		w.until(start.Add(time.Duration(i) * 10 * time.Hour))
		if st.Do == "run" && around != nil {
			around(w, i)
		}
		st.Wait = 0
		w.live(i, st)
		if len(w.problems) > 0 {
			return w, fmt.Errorf("after step %d: %s", i+1, strings.Join(w.problems, "\n"))
		}
	}
	w.until(start.Add(time.Duration(len(s.Steps)) * 10 * time.Hour))
	w.heal()
	if len(w.problems) > 0 {
		return w, fmt.Errorf("in the end: %s", strings.Join(w.problems, "\n"))
	}
	return w, nil
}

// picture is everything that both systems show, without keys that are given in the order of creation.
func (w *history) picture(without ...string) string {
	var lines []string
	for _, s := range w.systems {
		for _, key := range s.m.Keys() {
			f := s.m.Get(key)
			var b strings.Builder
			fmt.Fprintf(&b, "%s", s.name)
			for _, path := range slices.Sorted(maps.Keys(f)) {
				v := f[path]
				if slices.Contains(without, path) {
					continue
				}
				fmt.Fprintf(&b, " %s=%s", path, v)
			}
			lines = append(lines, b.String())
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// quietly are the deeds whose outcome does not depend on when a run saw them, for lives that are compared.
var quietly = []string{"edit", "edit", "edit", "edit", "clear", "create", "delete", "prio", "drift", "move", "rules", "say", "say", "attach"}

func drawCalm(t *rapid.T, most int) story {
	s := story{Config: drawConfig(t)}
	// A server that rewrites what it gets cannot be told from a person who edits between a write and its recovery.
	s.Config.Automation = 0
	first := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{Do: "create", Side: record.Side(rapid.IntRange(0, 1).Draw(t, "side")), Style: rapid.SampledFrom([]int{0, 3}).Draw(t, "style")}
	}), 1, 3).Draw(t, "first")
	s.Steps = append(first, rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
			return drawRun(t, false)
		}
		st := drawDeed(t, quietly)
		st.Style = rapid.SampledFrom([]int{0, 3}).Draw(t, "style") // nothing that a server rewrites
		return st
	}), 2, most).Draw(t, "steps")...)
	s.Steps = append(s.Steps, step{Do: "run"})
	return s
}

// talkPicture is what stands in the comments. It depends on how often runs came by before a pair parted, which a
// process that died changes.
func (w *history) talkPicture() string {
	var lines []string
	for _, s := range w.systems {
		for _, key := range s.keys {
			_, files := s.m.Filed(filePaths[s.phys], key)
			lines = append(lines, fmt.Sprintf("%s files %q", s.name, files))
			for _, path := range threadPaths[s.phys] {
				var said []string
				for _, c := range s.m.Said(path, key) {
					said = append(said, c.Text)
				}
				slices.Sort(said)
				lines = append(lines, fmt.Sprintf("%s %s %q", s.name, path, said))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestCrashesChangeNothing(t *testing.T) {
	var c census
	t.Cleanup(func() {
		t.Logf("%d histories, %d runs, %d processes died at %d different places:\n%s", c.histories, c.runs, c.died, len(c.points), places(c.points))
	})
	randomly(t, 400, "20s", func(t *rapid.T, dir string) {
		s := drawCalm(t, 8)
		// Live it once, and let each run say what calls it makes.
		calls := map[int][]point{}
		var last *history
		plain, err := clockwork(dir, s, false, func(w *history, i int) {
			last = w
			w.recording = func(steps []point) { calls[i] = steps }
		})
		if err != nil {
			t.Fatalf("%s\nthe story:\n%s", err, s)
		}
		last.recording = nil
		var deaths []string
		for i, st := range s.Steps {
			if st.Do == "run" {
				deaths = append(deaths, fmt.Sprint(i+1, " dies ", calls[i][rapid.IntRange(0, len(calls[i])-1).Draw(t, "dies at")]))
			}
		}
		n := 0
		crashed, err := clockwork(dir, s, false, func(w *history, i int) {
			var p point
			if n < len(deaths) {
				p = pointOf(calls[i], deaths[n])
			}
			n++
			w.run(trouble{Full: s.Steps[i].Run.Full, Die: &p})
		})
		if err != nil {
			t.Fatalf("%s\nthe story:\n%swith processes that died: %s", err, s, deaths)
		}
		c.add(crashed)
		if a, b := plain.picture(), crashed.picture(); a != b {
			t.Fatalf("crash-equal: without crashes\n%s\nwith them\n%s\nthe story:\n%swith processes that died: %s", a, b, s, deaths)
		}
	})
}

func pointOf(ps []point, said string) point {
	for _, p := range ps {
		if strings.HasSuffix(said, " dies "+p.String()) {
			return p
		}
	}
	return point{}
}

func places(points map[string]int) string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(points)) {
		fmt.Fprintf(&b, "  %-28s %d\n", p, points[p])
	}
	return b.String()
}

func TestTheSidesAreEqual(t *testing.T) {
	randomly(t, 150, "0s", func(t *rapid.T, dir string) {
		life := func(s story) error {
			plain, err := clockwork(dir, s, false, nil)
			if err != nil {
				return err
			}
			mirror, err := clockwork(dir, s, true, nil)
			if err != nil {
				return fmt.Errorf("mirrored: %w", err)
			}
			if a, b := plain.picture()+"\n"+plain.talkPicture(), mirror.picture()+"\n"+mirror.talkPicture(); a != b {
				return fmt.Errorf("symmetric: as it is\n%s\nwith its sides swapped\n%s", a, b)
			}
			return nil
		}
		s := calm(drawStory(t, 10))
		if err := life(s); err != nil {
			s, err = shortest(s, err, life)
			t.Fatalf("%s\nthe story:\n%s", err, s)
		}
	})
}

// TestAPoisonousRecordChangesNoOther lives a story with and without one more ticket that the incidents refuse.
func TestAPoisonousRecordChangesNoOther(t *testing.T) {
	randomly(t, 150, "20s", func(t *rapid.T, dir string) {
		s := drawCalm(t, 8)
		s.Config.Poison, s.Config.Gone = true, [2]reconcile.GoneThen{}
		life := func(poison bool) string {
			w, err := newHistory(dir, s.Config)
			if err != nil {
				t.Fatal(err)
			}
			defer w.close()
			if poison {
				f := record.Fields{"title": record.OfText("poison"), "queue": record.OfText("noc"), memKey: record.OfText("X")}
				w.heard(record.Left, pairings[0], f["title"])
				w.systems[0].m.Add(f)
				w.spared = "X"
			}
			start := w.now
			for i, st := range s.Steps {
				w.until(start.Add(time.Duration(i) * 10 * time.Hour))
				st.Wait = 0
				w.live(i, st)
			}
			w.heal()
			if len(w.problems) > 0 {
				t.Fatalf("poison %t: %s\nthe story:\n%s", poison, strings.Join(w.problems, "\n"), s)
			}
			if poison {
				w.systems[0].m.Remove("X")
			}
			return w.picture() + "\n" + w.talkPicture()
		}
		if a, b := life(false), life(true); a != b {
			t.Fatalf("isolated: alone\n%s\nbeside a poisonous ticket\n%s\nthe story:\n%s", a, b, s)
		}
	})
}

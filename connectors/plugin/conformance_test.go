package plugin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine/record"
)

// suite is that of the memory connector, behind a process.
func suite(own string) connectortest.Suite {
	return connectortest.Suite{
		Paths: paths, Sample: sample, Marker: "marker", Text: "title", Thread: "comments", Edits: true, Files: "files", Incremental: true,
		Open: func(t *testing.T) connectortest.System {
			folder, sum := program(t)
			conn, err := opened(t, body(folder, sum, own, ""), nil)
			if err != nil {
				t.Fatal(err)
			}
			c, err := conn.Collection(t.Context(), "tickets")
			if err != nil {
				t.Fatal(err)
			}
			person, err := conn.Collection(t.Context(), "person")
			if err != nil {
				t.Fatal(err)
			}
			return connectortest.System{
				Collection: c, Connection: conn,
				Add: func(t *testing.T, f record.Fields) string {
					cr, _ := connectors.As[connectors.Creator](person)
					r, err := cr.Create(t.Context(), paths, f)
					if err != nil {
						t.Fatal(err)
					}
					return r.Key
				},
				Edit: func(t *testing.T, key string, f record.Fields) {
					up, _ := connectors.As[connectors.Updater](person)
					if _, err := up.Update(t.Context(), paths, key, "", f); err != nil {
						t.Fatal(err)
					}
				},
				Remove: func(t *testing.T, key string) {
					del, _ := connectors.As[connectors.Deleter](person)
					if err := del.Delete(t.Context(), key, ""); err != nil {
						t.Fatal(err)
					}
				},
				Pass: func(t *testing.T, d time.Duration) {
					r, _ := connectors.As[connectors.Retirer](person)
					if _, err := r.Retire(t.Context(), d.String()); err != nil {
						t.Fatal(err)
					}
				},
			}
		},
	}
}

func TestConformance(t *testing.T) {
	s := suite("")
	s.Conditional = true
	connectortest.Run(t, s)
}

func TestWhatCameBetweenIsAskedOfThePlugin(t *testing.T) {
	s := suite("audited = true").Open(t)
	ch, ok := connectors.As[connectors.Chronicler](s.Collection)
	up, _ := connectors.As[connectors.Updater](s.Collection)
	key := s.Add(t, sample(1))
	s.Edit(t, key, record.Fields{"title": record.OfText("a person's")})
	after, err := up.Update(t.Context(), paths, key, "1", record.Fields{"title": record.OfText("ours")})
	if err != nil || !ok || !ch.Overtaken("1", after.Version) || ch.Overtaken("2", after.Version) {
		t.Fatalf("version %s is said to be overtaken since 1: %t, since 2: %t; %v", after.Version, ch.Overtaken("1", after.Version), ch.Overtaken("2", after.Version), err)
	}
	var got []connectors.Edit
	if err := ch.Edits(t.Context(), key, []string{"title"}, "1", func(e connectors.Edit) error { got = append(got, e); return nil }); err != nil || len(got) != 2 {
		t.Fatalf("edits: %v, %v", got, err)
	}
	if e := got[1]; e.Old != record.OfText("a person's") || e.New != record.OfText("ours") || !e.Own || e.Author != "fieldsync" || e.Time.IsZero() {
		t.Errorf("the last edit is %+v", e)
	}
}

func TestAbilitiesOfACollectionAreThePlugins(t *testing.T) {
	c := tickets(t, "", "", nil)
	for name, has := range map[string]bool{
		"Finder": can[connectors.Finder](c), "Creator": can[connectors.Creator](c), "Updater": can[connectors.Updater](c), "Deleter": can[connectors.Deleter](c),
		"Describer": can[connectors.Describer](c), "Commenter": can[connectors.Commenter](c), "Attacher": can[connectors.Attacher](c), "Counter": can[connectors.Counter](c),
		"Locator": can[connectors.Locator](c), "Chronicler": can[connectors.Chronicler](c),
	} {
		if !has {
			t.Errorf("it is no %s", name)
		}
	}
	for name, has := range map[string]bool{
		"Retirer": can[connectors.Retirer](c), "Notifier": can[connectors.Notifier](c), "Requirer": can[connectors.Requirer](c), "DeleteLog": can[connectors.DeleteLog](c),
	} {
		if has {
			t.Errorf("it is a %s", name)
		}
	}
	if s, _ := connectors.As[connectors.Settler](c); s.Settles() != 3*time.Second {
		t.Errorf("writes settle in %s", s.Settles())
	}
	if b, _ := connectors.As[connectors.Batcher](c); b.Batch() != 4 {
		t.Errorf("a batch is of %d", b.Batch())
	}
	if l, _ := connectors.As[connectors.Locator](c); l.Locate("r1") != "https://store.example/r1" {
		t.Errorf("r1 is at %q", l.Locate("r1"))
	}
	if sc, ok := connectors.As[connectors.Scoper](c); !ok {
		t.Error("it is no Scoper")
	} else {
		var in []string
		if err := sc.Within(t.Context(), "odd", []string{"r1", "r2", "r3"}, func(key string) error { in = append(in, key); return nil }); err != nil || strings.Join(in, " ") != "r1 r3" {
			t.Errorf("in the scope are %q, %v", in, err)
		}
	}
	if n, _ := connectors.As[connectors.Counter](c); n != nil {
		if got, err := n.Count(t.Context(), ""); got != 0 || err != nil {
			t.Errorf("there are %d records, %v", got, err)
		}
	}
}

func can[T any](c connectors.Collection) bool {
	_, ok := connectors.As[T](c)
	return ok
}

// A scan of 100,000 records of a memory connector, in this process and behind another.
func BenchmarkScan(b *testing.B) {
	const n = 100_000
	scan := func(b *testing.B, c connectors.Collection) {
		b.ReportAllocs()
		for b.Loop() {
			seen := 0
			if _, err := c.Scan(b.Context(), connectors.Query{Paths: paths}, func(record.Record) error { seen++; return nil }); err != nil || seen != n {
				b.Fatal(seen, err)
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	}
	b.Run("in process", func(b *testing.B) {
		s := memory.New(fields()...)
		for i := range n {
			s.Add(sample(i))
		}
		scan(b, s)
	})
	b.Run("plugin", func(b *testing.B) { scan(b, tickets(b, "fill = 100000", "", nil)) })
}

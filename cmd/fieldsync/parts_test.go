package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestNoOutputShowsASecretHoweverItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.StringMatching(`[ab"/ ]{5,8}1`), 1, 3).Draw(t, "secrets")
		s := &secrets{}
		s.add(list...)
		text := rapid.StringMatching(`[abc"/ ]{0,20}`).Draw(t, "before") + rapid.SampledFrom(list).Draw(t, "secret") + rapid.StringMatching(`[abc ]{0,20}`).Draw(t, "after")
		var b bytes.Buffer
		m := &masked{w: &b, secrets: s}
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if _, err := m.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		m.flush()
		for _, secret := range list {
			if strings.Contains(b.String(), secret) {
				t.Fatalf("%q shows %q", b.String(), secret)
			}
		}
	})
}

func TestOtherTextPassesTheMaskUnchanged(t *testing.T) {
	s := &secrets{}
	s.add("hunter2", "abc", "secret", `q"uo\te`)
	var b bytes.Buffer
	m := &masked{w: &b, secrets: s}
	for _, piece := range []string{"abc secret hunter", "3 hunt", "er2! ", `{"p":"q\"uo\\te"} `, "hun"} {
		if _, err := m.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	m.flush()
	if d := cmp.Diff(`abc secret hunter3 (sensitive)! {"p":"(sensitive)"} hun`, b.String()); d != "" {
		t.Error(d)
	}
}

func TestFullScansAreDueWhenTheirScheduleSaysSo(t *testing.T) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 10, 12, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, spec string
		zone       *time.Location
		want       time.Time
	}{
		{"once a day where nothing is said", "", nil, now.Add(-24 * time.Hour)},
		{"every night", "0 3 * * *", nil, time.Date(2026, 3, 10, 3, 0, 0, 0, time.UTC)},
		{"every night in the sync's zone", "0 3 * * *", brussels, time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC)},
		{"not yet today", "0 20 * * *", nil, time.Date(2026, 3, 9, 20, 0, 0, 0, time.UTC)},
		{"on Sundays", "0 4 * * 0", nil, time.Date(2026, 3, 8, 4, 0, 0, 0, time.UTC)},
		{"on the first of January", "0 0 1 1 *", nil, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"on the 29th of February", "0 0 29 2 *", nil, time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"each minute", "* * * * *", nil, now},
		{"every so often", "@every 6h", nil, now.Add(-6 * time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fullSince(&mapping.Sync{FullScan: tt.spec, Timezone: tt.zone}, now); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSyncsRunAfterThoseTheyFollow(t *testing.T) {
	s := func(name string, after ...string) *mapping.Sync { return &mapping.Sync{Name: name, After: after} }
	for _, tt := range []struct {
		name  string
		syncs []*mapping.Sync
		want  string
	}{
		{"the order of the files where nothing is said", []*mapping.Sync{s("b"), s("a")}, "b a"},
		{"a chain that stands backwards", []*mapping.Sync{s("c", "b"), s("b", "a"), s("a")}, "a b c"},
		{"two that follow one", []*mapping.Sync{s("x", "z"), s("y", "z"), s("z")}, "z x y"},
		{"one that was not asked for does not count", []*mapping.Sync{s("x", "z"), s("y")}, "x y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, m := range inOrder(tt.syncs) {
				got = append(got, m.Name)
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("got %s, want %s", g, tt.want)
			}
		})
	}
}

func TestTheWorstCodeWins(t *testing.T) {
	for _, tt := range []struct{ a, b, want int }{
		{exitOK, exitOK, exitOK}, {exitOK, exitChanges, exitChanges}, {exitFailed, exitStopped, exitStopped}, {exitError, exitStopped, exitError},
		{exitChanges, exitFailed, exitFailed},
	} {
		if got, back := worst(tt.a, tt.b), worst(tt.b, tt.a); got != tt.want || back != tt.want {
			t.Errorf("worst(%d, %d) = %d and %d, want %d", tt.a, tt.b, got, back, tt.want)
		}
	}
}

func TestOnlyThisMachineMayListen(t *testing.T) {
	for _, tt := range []struct {
		addr string
		ok   bool
	}{
		{"127.0.0.1:0", true}, {"localhost:0", true}, {"[::1]:0", true},
		{"0.0.0.0:0", false}, {":0", false}, {"example.com:0", false}, {"[::]:0", false}, {"127.0.0.1", false},
	} {
		l, err := listenLoopback(tt.addr)
		if err == nil {
			l.Close()
		}
		// A machine without IPv6 cannot listen on ::1, which is another matter.
		if got := err == nil || strings.Contains(err.Error(), "cannot assign"); got != tt.ok {
			t.Errorf("%s: %v", tt.addr, err)
		}
		if err != nil && wayOut(err) == "" {
			t.Errorf("%s: no way out in %v", tt.addr, err)
		}
	}
}

package project

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNoOutputShowsASecretHoweverItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.StringMatching(`[ab"/ ]{5,8}1`), 1, 3).Draw(t, "secrets")
		s := &Secrets{}
		s.Add(list...)
		text := rapid.StringMatching(`[abc"/ ]{0,20}`).Draw(t, "before") + rapid.SampledFrom(list).Draw(t, "secret") + rapid.StringMatching(`[abc ]{0,20}`).Draw(t, "after")
		var b bytes.Buffer
		m := s.Over(&b)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if _, err := m.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		m.Flush()
		for _, secret := range list {
			if strings.Contains(b.String(), secret) {
				t.Fatalf("%q shows %q", b.String(), secret)
			}
		}
	})
}

func TestOtherTextPassesTheMaskUnchanged(t *testing.T) {
	s := &Secrets{}
	s.Add("hunter2", "abc", "secret", `q"uo\te`)
	var b bytes.Buffer
	m := s.Over(&b)
	for _, piece := range []string{"abc secret hunter", "3 hunt", "er2! ", `{"p":"q\"uo\\te"} `, "hun"} {
		if _, err := m.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	m.Flush()
	if d := cmp.Diff(`abc secret hunter3 (sensitive)! {"p":"(sensitive)"} hun`, b.String()); d != "" {
		t.Error(d)
	}
}

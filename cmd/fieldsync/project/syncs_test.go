package project

import (
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

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

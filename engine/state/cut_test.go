package state_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

// TestALogThatEndsAnywhereCanBeOpened leaves what a process that was killed leaves while it began its log: SQLite
// writes the 32 bytes of its header first, and a reader that builds the index in memory never gets over a header alone.
func TestALogThatEndsAnywhereCanBeOpened(t *testing.T) {
	made := filepath.Join(t.TempDir(), "state.db")
	filled(t, made)
	main, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	unmerged(t, made, "UPDATE link SET label_left = 'from the log'")
	log, err := os.ReadFile(made + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{0, 1, 31, 32, 33, 56, 57, 4000} {
		for _, index := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, with an index %v", length, index), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "state.db")
				write(t, path, string(main))
				write(t, path+"-wal", string(log[:length]))
				if index {
					write(t, path+"-shm", strings.Repeat("\x00", 32768))
				}
				before := footprint(t, filepath.Dir(path))
				for _, o := range []state.Options{{ReadOnly: true}, {}} {
					s, err := state.Open(path, o)
					if err != nil {
						t.Fatalf("read only %v: %v", o.ReadOnly, err)
					}
					n := 0
					b, err := s.Book(t.Context(), "a", paths, 0)
					if err == nil {
						err = b.Links(t.Context(), record.Live, func(record.Link) error { n++; return nil })
					}
					if err != nil || n != 1 {
						t.Errorf("read only %v: %d links and %v, want 1", o.ReadOnly, n, err)
					}
					if o.ReadOnly {
						untouched(t, filepath.Dir(path), before)
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

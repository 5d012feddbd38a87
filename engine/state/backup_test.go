package state_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

func TestABackupIsWholeWhileOthersWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	writer := open(t, path, state.Options{})
	b := book(t, writer)
	fold(t, b, engine.Fold{Link: link(0)})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			// Each fold stores a link with its fingerprints: a torn copy would have one without the other.
			p := engine.Print{Hash: uint64(i), Print: uint64(i)}
			if err := b.Fold(t.Context(), []engine.Fold{{Link: link(i), Prints: [2]*engine.Print{&p, &p}}}); err != nil {
				t.Errorf("fold while a backup is made: %v", err)
				return
			}
		}
	})
	reader := open(t, path, state.Options{ReadOnly: true})
	for i := range 10 {
		for from, s := range map[string]*state.Store{"the writer's": writer, "a reader's": reader} {
			file := filepath.Join(dir, fmt.Sprintf("%s %d.db", from, i))
			size, err := s.Backup(t.Context(), file, false)
			if err != nil {
				t.Fatalf("%s backup: %v", from, err)
			}
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o600 || info.Size() != size {
				t.Errorf("%s backup is %v (%v), and was said to have %d bytes", from, info, err, size)
			}
			whole(t, file)
			if links, prints := query(t, file, "SELECT count(*) FROM link"), query(t, file, "SELECT count(*)/2 + 1 FROM print"); links != prints {
				t.Errorf("%s backup has %s links and the fingerprints of %s", from, links, prints)
			}
		}
	}
	close(stop)
	wg.Wait()
	left, err := filepath.Glob(filepath.Join(dir, ".fieldsync-backup-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// whole fails unless a state has no flaw.
func whole(t *testing.T, path string) {
	t.Helper()
	s := open(t, path, state.Options{ReadOnly: true})
	defer s.Close()
	found, err := s.Check(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if !f.OK {
			t.Errorf("%s: %s", f.What, f.Detail)
		}
	}
	if len(found) != 6 {
		t.Errorf("%d findings: %v", len(found), found)
	}
}

func TestABackupOverwritesNothingUnasked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	filled(t, path)
	s := open(t, path, state.Options{ReadOnly: true})
	taken := filepath.Join(dir, "taken.db")
	write(t, taken, "mine")
	busy := filepath.Join(dir, "busy.db")
	write(t, busy+"-wal", "a log")
	linked := filepath.Join(dir, "linked.db")
	if err := os.Symlink(path, linked); err != nil {
		t.Fatal(err)
	}
	before := footprint(t, dir)
	for _, tt := range []struct {
		name, file string
		force      bool
		says       string
	}{
		{"a file that is there", taken, false, "it is there already"},
		{"the state itself", path, true, "it is the state itself"},
		{"the state by another name", linked, true, "it is the state itself"},
		{"a database in use", busy, true, "it is a database in use"},
		{"a folder", dir, true, "it is a folder"},
		{"a folder that is not there", filepath.Join(dir, "none", "copy.db"), false, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Backup(t.Context(), tt.file, tt.force)
			if !errors.Is(err, state.ErrFile) || !strings.Contains(err.Error(), tt.says) || connectors.Hint(err) == "" {
				t.Errorf("%v (hint %q), want %q", err, connectors.Hint(err), tt.says)
			}
		})
	}
	untouched(t, dir, before)
	if _, err := s.Backup(t.Context(), taken, true); err != nil {
		t.Error(err)
	}
	whole(t, taken)
	if _, err := open(t, filepath.Join(dir, "none.db"), state.Options{ReadOnly: true}).Backup(t.Context(), filepath.Join(dir, "x.db"), false); err == nil {
		t.Error("a state that is not there was copied")
	}
}

func TestACheckFindsWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change string
		what   string
		says   string
	}{
		{"nothing", "SELECT 1", "", ""},
		{"a comment in flight", "UPDATE intent SET kind = 'comment'", "", ""},
		{"a comment of no link", "INSERT INTO thread (sync, link, side, own, copy, hash, at, run) VALUES (1, 77, 0, 'c', '', 0, 0, 0)", "refers", "comment of no link: 77"},
		{"values that cannot be read", "UPDATE link SET now_right = x'00'", "content", "link 1: its values cannot be read"},
		{"too many values", "UPDATE link SET base_left = x'" + hexOf(record.AppendValues(nil, make([]record.Value, 2))) + "'", "content", "link 1: its values cannot be read"},
		{"what somebody meant", "UPDATE link SET meant = x'0101'", "content", "link 1: what somebody meant cannot be read"},
		{"an entry of the history", "UPDATE history SET replaced_by = x'ffff'", "content", "entry of the history 1 cannot be read"},
		{"a conflict", "UPDATE waiting SET seen = x'01'", "content", "hold or conflict 1 cannot be read"},
		{"a run", "UPDATE run SET body = '{'", "content", "run 1 cannot be read"},
		{"an intent's fields", "UPDATE intent SET new = x'05'", "content", "write in flight 1 cannot be read"},
		{"an intent's kind", "UPDATE intent SET kind = 'move'", "content", "write in flight 1 cannot be read"},
		{"paths", "UPDATE shape SET paths = 'title' WHERE side = 0", "content", "paths 1 cannot be read"},
		{"a count", "UPDATE sync SET held = held + 1", "counts", "a says 0 live, 2 held and 0 detached links, and has 0, 1 and 0"},
		{"a link without its paths", "UPDATE link SET shape_left = 77", "refers", "link without its paths: 1"},
		{"a hold of no link", "UPDATE waiting SET link = 77", "refers", "hold or conflict of no link: 1"},
		{"an origin of no link", "UPDATE origin SET link = 77", "refers", "origin of no link: 77"},
		{"a tomb of no sync", "INSERT INTO tomb (sync, side, key, link, until, reason) VALUES (77, 0, 'T', 1, 0, '')", "refers", "of tomb points to nothing in sync"},
		{"two links of one record", "DROP INDEX link_left; INSERT INTO link SELECT 77, sync, status, key_left, 'other', was_left, was_right, label_left, label_right, version_left, version_right, shape_left, shape_right, base_left, base_right, sent_left, sent_right, now_left, now_right, ended, meant FROM link; UPDATE sync SET held = 2",
			"links", "T-1 on the left has 2 links"},
		{"an ended link with its keys", "UPDATE link SET status = 3; UPDATE sync SET held = 0; DELETE FROM waiting", "links", "link 1 ended and keeps its keys"},
		{"an old intent", "UPDATE intent SET at = 1000000000", "intents", "a: the update of 1, sent at 1970-01-01T00:00:01Z"},
	} {
		for kind, make := range kinds {
			t.Run(tt.name+" in "+kind, func(t *testing.T) { checked(t, make(t), tt.change, tt.what, tt.says) })
		}
	}
}

func checked(t *testing.T, path, edit, what, says string) {
	rich(t, path)
	if strings.HasPrefix(path, "postgres") {
		if strings.Contains(says, "points to nothing") {
			t.Skip("the server does not let that happen")
		}
		change(t, path, blobs.ReplaceAllString(edit, `'\x$1'`))
	} else {
		change(t, path, "PRAGMA foreign_keys = 0", edit)
	}
	s := open(t, path, state.Options{ReadOnly: true})
	found, err := s.Check(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.OK != (f.What != what) || f.What == what && !strings.Contains(f.Detail, says) {
			t.Errorf("%s: %t, %s", f.What, f.OK, f.Detail)
		}
		if f.OK != (f.Hint == "") {
			t.Errorf("%s: ok %t and the way out is %q", f.What, f.OK, f.Hint)
		}
	}
}

// blobs are SQLite's.
var blobs = regexp.MustCompile(`x'([0-9a-f]*)'`)

// rich makes a state that has something of everything.
func rich(t *testing.T, path string) {
	t.Helper()
	s := open(t, path, state.Options{})
	b := book(t, s)
	r := plan.Run{Sync: "a", Started: time.Now()}
	in := &engine.Intent{Kind: plan.Update, Side: record.Right, Key: "1", New: record.Fields{"short": record.OfText("x")}, At: time.Now()}
	if err := errors.Join(b.StartRun(t.Context(), &r), b.Intend(t.Context(), []*engine.Intent{in})); err != nil {
		t.Fatal(err)
	}
	l := link(1)
	l.Status = record.Held
	fold(t, b, engine.Fold{Link: l, Decided: true, Waiting: []engine.Waiting{{Conflict: &plan.Conflict{Field: "title"}}},
		Origins: []engine.Origin{{Path: "title", Run: r.ID}}, Lost: []engine.Lost{{Path: "title", Value: record.OfText("was"), Run: r.ID}}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestATornFileIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path, state.Options{})
	b := book(t, s)
	var folds []engine.Fold
	for i := range 2000 {
		folds = append(folds, engine.Fold{Link: link(i)})
	}
	fold(t, b, folds...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(content) / 2; i < len(content)/2+8192; i++ {
		content[i] = 0xA5
	}
	write(t, path, string(content))
	torn := open(t, path, state.Options{ReadOnly: true})
	found, err := torn.Check(t.Context(), time.Hour)
	if err != nil || len(found) != 1 || found[0].OK || !strings.Contains(found[0].Hint, "last backup") {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := torn.Backup(t.Context(), path+".copy", false); !errors.Is(err, state.ErrDamaged) {
		t.Errorf("a torn file was backed up: %v", err)
	}
	if _, err := os.Stat(path + ".copy"); err == nil {
		t.Error("and left a copy")
	}
}

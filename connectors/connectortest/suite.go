// Package connectortest is the suite that holds a connector to the promises of package connectors.
//
// A connector's tests describe one collection in a [Suite] and call [Run]. Every check opens a system of its own, so
// the checks say what fails and not what failed before. What a collection cannot do is said by a flag: an ability
// that is missing without its flag is a failure, so that it does not get lost unseen. Nothing here sleeps; a
// system whose changes show up late gets a [System.Pass] that moves its clock.
package connectortest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A Suite describes one collection of a connector.
type Suite struct {
	// Open starts an empty system and opens the collection on it. Clean-up goes through t.
	Open func(t *testing.T) System

	// Paths are asked for everywhere: all paths of Sample, and any others.
	Paths []string
	// Sample makes values that the collection stores exactly as they are, different for each i in every path
	// that can be. The marker path is among them, with a value of its own for each i.
	Sample func(i int) record.Fields
	// Marker is the path that creates are found again by: text.
	Marker string
	// Text is a path of free text, among Sample's, that can be written and cleared. It is not the marker.
	Text string
	// Missing makes well-formed keys of records that do not exist. nil: 32 hexadecimal digits.
	Missing func(i int) string

	// Thread is a path of comments. "": no Commenter.
	Thread string
	// Edits: comments under Thread can be changed. Else no CommentEditor is needed.
	Edits bool
	// Files is a path of attachments. "": no Attacher.
	Files string
	// NoEmptyFiles: the system refuses files without content.
	NoEmptyFiles bool

	Conditional bool // updates and deletes with an old version give ErrStale and change nothing
	Chronicle   bool // a Chronicler
	Incremental bool // scans have a Window.Next
	Split       bool // a Splitter
	// Scope is a query in the system's own language that selects some of the samples, for parts of a scan with one.
	Scope string

	NoCreate   bool // no Creator
	NoUpdate   bool // no Updater
	NoDelete   bool // no Deleter
	NoFind     bool // no Finder
	NoDescribe bool // no Describer
	NoVersion  bool // Record.Version is always ""
}

// A System is one that was started for one check, with the ways in which a person changes it behind the
// connector's back.
type System struct {
	Collection connectors.Collection
	Connection connectors.Connection // nil: its promises are not checked

	Add    func(t *testing.T, f record.Fields) (key string)
	Edit   func(t *testing.T, key string, f record.Fields)
	Remove func(t *testing.T, key string)
	// Pass moves the system's clock forwards. nil: what a person did is visible to the next call, and that an
	// incremental scan leaves old records out is not checked.
	Pass func(t *testing.T, d time.Duration)
}

// Run checks everything.
func Run(t *testing.T, s Suite) {
	t.Helper()
	for _, c := range s.checks() {
		if c.skip {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			sys := s.Open(t)
			b := &bench{T: t, Suite: s.whole(), Collection: sys.Collection, Connection: sys.Connection,
				add:    func(f record.Fields) string { return sys.Add(t, f) },
				edit:   func(key string, f record.Fields) { sys.Edit(t, key, f) },
				remove: func(key string) { sys.Remove(t, key) },
			}
			if sys.Pass != nil {
				b.pass = func(d time.Duration) { sys.Pass(t, d) }
			}
			c.run(b)
		})
	}
}

// whole is s with what was left out.
func (s Suite) whole() Suite {
	if s.Missing == nil {
		s.Missing = func(i int) string { return fmt.Sprintf("dead%028x", i) }
	}
	return s
}

// A check is one promise.
type check struct {
	name string
	skip bool
	run  func(*bench)
}

func (s Suite) checks() []check {
	return []check{
		{"a scan delivers every record once, with the asked paths in order", false, scanAll},
		{"a scan of an empty system delivers nothing", false, scanNothing},
		{"paths come in the order that was asked for", false, scanOrder},
		{"an error of emit ends the scan and comes back as it is", false, scanEmitError},
		{"a cancelled context ends a scan", false, scanCancelled},
		{"a path that does not exist is never null", false, unknownPath},
		{"a cloned record stays what it was when other scans run", false, scanRetained},
		{"values have the described kind", s.NoDescribe, describedKinds},
		{"read delivers what was asked for", false, readSome},
		{"read of missing keys delivers nothing", false, readMissing},
		{"read of no keys delivers nothing", false, readNone},
		{"read answers a key that is asked for twice", false, readTwice},
		{"read takes five hundred keys", false, readMany},
		{"an error of emit ends a read and comes back as it is", false, readEmitError},
		{"what a person does is seen by read at once", false, readFresh},
		{"the version changes with each edit and with nothing else", s.NoVersion, versionMoves},
		{"find delivers the records with the value", s.NoFind, findSome},
		{"find of no values delivers nothing", s.NoFind, findNone},
		{"find delivers several records of one value", s.NoFind, findSeveral},
		{"find takes many values", s.NoFind, findMany},
		{"find takes special characters literally", s.NoFind, findSpecial},
		{"find of a path that does not exist is an error", s.NoFind, findNoPath},
		{"create returns what is stored", s.NoCreate, createReturns},
		{"a created record is found by its marker at once", s.NoCreate || s.NoFind, createFound},
		{"update changes the named fields and no others", s.NoUpdate, updateNamed},
		{"an update to null clears", s.NoUpdate, updateClears},
		{"an update of a missing key is not found", s.NoUpdate, updateMissing},
		{"an update with the version that was read succeeds", s.NoUpdate || s.NoVersion, updateCurrent},
		{"a stale update is refused and changes nothing", s.NoUpdate || !s.Conditional, updateStale},
		{"an edit that came between read and write is found afterwards", !s.Chronicle, editsFound},
		{"text comes back unchanged, or settles after one write", s.NoUpdate, roundTrip},
		{"delete removes, and twice is done", s.NoDelete, deleteTwice},
		{"a stale delete is refused and removes nothing", s.NoDelete || !s.Conditional, deleteStale},
		{"a write under a cancelled context is an error", s.NoUpdate, writeCancelled},
		{"a scan since the last one delivers what changed", !s.Incremental, sinceEdit},
		{"a change in the second of the scan is never missed", !s.Incremental, sinceSameSecond},
		{"a scan since long ago leaves out what did not change", !s.Incremental, sinceLeavesOut},
		{"a collection without change stamps has no window", s.Incremental, noWindow},
		{"a removed record is in no scan", false, removedGone},
		{"parts of a scan are disjoint and together the whole", !s.Split, partsWhole},
		{"records made and removed while parts are scanned disturb no others", !s.Split, partsBusy},
		{"a part that fails is an error", !s.Split, partsFail},
		{"a change while parts are scanned is in the window after them", !s.Split || !s.Incremental, partsSince},
		{"nothing can be split", !s.Split, partsNothing},
		{"an added comment comes back under its ID", s.Thread == "", commentsAdded},
		{"comments since a time are those of then and later", s.Thread == "", commentsSince},
		{"a comment on a missing record is not found", s.Thread == "", commentsMissing},
		{"an error of emit ends reading comments and comes back as it is", s.Thread == "", commentsEmitError},
		{"an edit changes one comment that says what was read", !s.Edits, commentsEdited},
		{"describe lists the threads", s.Thread == "" || s.NoDescribe, commentsDescribed},
		{"an attached file comes back byte for byte under its ID", s.Files == "", attachmentsAdded},
		{"attachments since a time are those of then and later", s.Files == "", attachmentsSince},
		{"a file for or of nothing is not found", s.Files == "", attachmentsMissing},
		{"an error of emit ends listing attachments and comes back as it is", s.Files == "", attachmentsEmitError},
		{"describe lists the files", s.Files == "" || s.NoDescribe, attachmentsDescribed},
		{"describe lists the key and every path", s.NoDescribe, describes},
		{"eight callers at once do not disturb each other", false, concurrent},
		{"a connection knows its collections and closes twice", false, connection},
	}
}

// A T is what a check needs of a test.
type T interface {
	Helper()
	Context() context.Context
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Skip(args ...any)
}

// A bench is what one check works on.
type bench struct {
	T
	Suite
	Collection connectors.Collection
	Connection connectors.Connection

	add    func(f record.Fields) string
	edit   func(key string, f record.Fields)
	remove func(key string)
	pass   func(d time.Duration) // nil: see System.Pass
}

// fill adds samples from to to-1 as a person does and returns their keys.
func (b *bench) fill(from, to int) []string {
	b.Helper()
	keys := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		key := b.add(b.Sample(i))
		if key == "" {
			b.Fatalf("Add of sample %d gave no key: the suite is set up wrongly", i)
		}
		keys = append(keys, key)
	}
	b.settle()
	return keys
}

// settle lets what a person did become visible.
func (b *bench) settle() {
	if b.pass != nil {
		b.pass(time.Minute)
	}
}

// scan returns clones of all records by key and fails on any error and on keys that come twice.
func (b *bench) scan(q connectors.Query) (map[string]record.Record, connectors.Window) {
	b.Helper()
	got := map[string]record.Record{}
	w, err := b.Collection.Scan(b.Context(), q, b.into(got, len(q.Paths)))
	if err != nil {
		b.Fatalf("scan: %v", err)
	}
	return got, w
}

// read returns clones of the records with these keys.
func (b *bench) read(keys ...string) map[string]record.Record {
	b.Helper()
	got := map[string]record.Record{}
	if err := b.Collection.Read(b.Context(), b.Paths, keys, b.into(got, len(b.Paths))); err != nil {
		b.Fatalf("read: %v", err)
	}
	return got
}

// one reads a record that must be there.
func (b *bench) one(key string) record.Record {
	b.Helper()
	r, ok := b.read(key)[key]
	if !ok {
		b.Fatalf("read %s: not delivered", key)
	}
	return r
}

// find returns clones of the records whose marker is one of the values.
func (b *bench) find(values ...record.Value) map[string]record.Record {
	b.Helper()
	got := map[string]record.Record{}
	if err := b.finder().Find(b.Context(), b.Paths, b.Marker, values, b.into(got, len(b.Paths))); err != nil {
		b.Fatalf("find %v: %v", values, err)
	}
	return got
}

func (b *bench) into(got map[string]record.Record, width int) func(record.Record) error {
	return func(r record.Record) error {
		if r.Key == "" {
			return fmt.Errorf("a record without a key was emitted")
		}
		if len(r.Values) != width {
			return fmt.Errorf("record %s has %d values for %d paths", r.Key, len(r.Values), width)
		}
		if _, twice := got[r.Key]; twice {
			return fmt.Errorf("record %s was emitted twice", r.Key)
		}
		c := own(r)
		got[c.Key] = c
		return nil
	}
}

// own is Clone for the header too: its text may point into a page as well.
func own(r record.Record) record.Record {
	c := r.Clone()
	c.Key, c.Label = string([]byte(r.Key)), string([]byte(r.Label))
	c.Version, c.Author = string([]byte(r.Version)), string([]byte(r.Author))
	return c
}

// slot is the place of path in Paths.
func (b *bench) slot(path string) int {
	b.Helper()
	for i, p := range b.Paths {
		if p == path {
			return i
		}
	}
	b.Fatalf("path %q is not in Suite.Paths: the suite is set up wrongly", path)
	return -1
}

// holds fails unless r carries the values of f.
func (b *bench) holds(what string, r record.Record, f record.Fields) {
	b.Helper()
	for path, want := range f {
		if got := r.Values[b.slot(path)]; got != want {
			b.Errorf("%s: %s of record %s is %s, want %s", what, path, r.Key, got, want)
		}
	}
}

// same fails unless two records carry the same values.
func (b *bench) same(what string, got, want record.Record) {
	b.Helper()
	if got.Key != want.Key {
		b.Errorf("%s: key %s, want %s", what, got.Key, want.Key)
	}
	for i, p := range b.Paths {
		if got.Values[i] != want.Values[i] {
			b.Errorf("%s: %s of record %s is %s, want %s", what, p, got.Key, got.Values[i], want.Values[i])
		}
	}
}

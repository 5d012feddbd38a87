// Package connectors is the contract between fieldsync and the systems whose records it keeps in step.
//
// A system is a [Connection]; a kind of record in it is a [Collection], which must [Collection.Scan] and
// [Collection.Read]. Everything else is an ability found by interface, with [As]: [Describer], [Finder], [Scoper], [Creator],
// [Updater], [Batcher], [Deleter], [DeleteLog], [Counter], [Splitter], [Commenter], [Attacher], [Chronicler], [Notifier], [Checker]. The
// engine asks for an ability when a rule needs it and says plainly when it is not there. Failures are [*Error] with one of
// the sentinel kinds below; the kind decides what the engine does next, the hint tells a person what to do. The suite in
// connectortest holds every connector to this page.
//
// All methods may be called from several goroutines at once.
package connectors

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// A Config is the settings of one connection: a struct with hcl tags that gohcl decodes from the body of a
// connection block. Credentials are of type [Secret], inside an auth block where the system has a choice.
type Config interface {
	// Open makes the connection without contacting the system. Errors are about the settings.
	Open(env Env) (Connection, error)
}

// A Veiler is a Config with a credential inside other text, such as the password in the address of a database. Veil
// returns settings without it, which tell this system from others, and what must not be shown.
type Veiler interface {
	Veil() (shown any, secrets []string)
}

// An Admitter is a Config that understands what a scope in its system's own language asks of a record of a collection. It
// contacts nothing, so that a mapping is held against it when it is read.
type Admitter interface {
	Admits(collection, native string) Terms
}

// Terms are what a scope asks of a record, as far as that is certain. The zero Terms say nothing.
type Terms struct {
	// Values are those that every record in the scope shows: a new one is given them.
	Values record.Fields
	// Choice are paths of which the scope wants one value of some, or one of a certain form.
	Choice []string
	// Whole: a record that shows Values is in the scope, whatever else it shows.
	Whole bool
}

// A Registry has a constructor of empty settings for each connector, by the first label of a connection block.
type Registry map[string]func() Config

// Env is what a connection gets from the program that opens it.
type Env struct {
	Name   string           // the connection's name, for messages
	Log    *slog.Logger     // never nil
	Now    func() time.Time // the clock
	Dir    string           // folder of the mapping file: relative paths start here
	HTTP   *http.Client     // no cookie jar; limited, bounded and retried as the mapping says
	Limits Limits
}

// A Connection is an open system. It logs in when first used.
type Connection interface {
	// Collection finds a kind of record by name. It may contact the system to learn about it. ErrConfig
	// if there is no such collection, naming the nearest one.
	Collection(ctx context.Context, name string) (Collection, error)
	// Close lets go of everything. Idempotent.
	Close() error
}

// A Collection is one kind of record.
type Collection interface {
	// Scan emits every record that q selects, each with Values in the order of q.Paths. A record passed to
	// emit, its text included, is valid only until emit returns. An index may be late to list a record, as long as
	// Window.Next allows for that; the values are never older than what Read has shown. An error from emit ends the scan and is
	// returned as it is. Any error means that the scan did not happen: its records prove nothing about
	// the ones that were not seen. Keys may come twice (a record moved while it was paged).
	Scan(ctx context.Context, q Query, emit func(record.Record) error) (Window, error)

	// Read emits the records with these keys, straight from the system of record, never from a lagging
	// index and whatever a scan's Native filter says. A key that is not emitted does not exist (or is
	// hidden where the system cannot tell). Order is free. Emitted records are valid as in Scan.
	Read(ctx context.Context, paths []string, keys []string, emit func(record.Record) error) error
}

// A Query selects records.
type Query struct {
	Paths  []string // what to deliver; never empty
	Native string   // scope in the system's own language; "" for all
	// Since is the Window.Next of an earlier complete scan: deliver at least what changed after it. ""
	// asks for everything. A connector that cannot tell what changed returns an empty Window.Next.
	Since string
	// Part is one of those that Split has cut the scan into; "" is the whole.
	Part string
}

// A Window tells about a finished scan.
type Window struct {
	Next  string // safe point for the next scan's Since; "" when the system has no change stamps
	Clock Clock
	// System tells the system apart from another one at the same address, Zone is the time zone that it uses for
	// this account. "" where it does not say.
	System, Zone string
}

// A Clock is what was measured of a system's clock against ours.
type Clock struct {
	Measured bool
	Offset   time.Duration // theirs minus ours
	Error    time.Duration // the offset is right within this
}

// A Schema describes a collection's paths.
type Schema struct {
	Key    string // path that is the key
	Label  string // path that people know a record by; "" for the key
	Fields []Field
	Open   bool // other paths than these may exist (a system that hides part of its dictionary)
	// Hidden: the system does not show its fields to this user at all. No path can be checked.
	Hidden bool
	Rest   record.Type // of the paths that are not in Fields; zero where that is not known
	// Threads are the paths of comments, which are no fields: see CommentReader.
	Threads []Thread
	// Files are the paths of attachments, of which most systems have one: see AttachmentReader.
	Files []Thread
}

// Field returns the field with this path.
func (s *Schema) Field(path string) (Field, bool) {
	for _, f := range s.Fields {
		if f.Path == path {
			return f, true
		}
	}
	return Field{}, false
}

// A Field is one described path.
type Field struct {
	Path      string
	Label     string
	Type      record.Type
	Native    string // the system's own name of the type
	MaxLength int    // characters; 0: not limited or not known
	ReadOnly  bool   // the system sets it, or this user may not
	Once      bool   // it can be given to a new record, and is never changed
	Required  bool   // a create without it is refused
	Append    bool   // a write adds an entry and never replaces (journals)
	Reference string // collection it points to
	Choices   []Choice
	Closed    bool // Choices is the whole list: other values are refused or dropped
}

// A Choice is one value of an enumeration.
type Choice struct {
	Value record.Value
	Label string
}

// A Describer knows its fields. Where the user may not see them the schema is returned with Hidden, beside an
// error of kind ErrDenied: the caller goes on without checks.
type Describer interface {
	Describe(ctx context.Context) (*Schema, error)
}

// A Finder looks records up by the value of one path, straight from the system of record like Read. Several
// records may carry one value. Emitted records have Values in the order of paths; path is among paths.
// ErrConfig when the path cannot be searched.
type Finder interface {
	Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error
}

// A Scoper tells which of some records are in a scope in the system's own language, as a scan with it would. What it does
// not emit is outside, or not there.
type Scoper interface {
	Within(ctx context.Context, native string, keys []string, emit func(key string) error) error
}

// A Creator makes records. The marker is one of the fields: the caller looks it up with Find before any
// second try. The returned record is what the system stored, after its own rules, in the order of paths.
// ErrOutcome when it may or may not have happened.
type Creator interface {
	Create(ctx context.Context, paths []string, f record.Fields) (record.Record, error)
}

// A Settler says how long after it was sent a write that was never answered may still take effect: what the system's
// longest transaction takes. Before that it is neither sent again nor given up. Other collections settle at once.
type Settler interface {
	Settles() time.Duration
}

// An Updater changes fields of a record. A version that is not "" is the one the caller has read: where the
// system can, the write is conditional on it (ErrStale). The returned record is what the system holds
// afterwards, in the order of paths. ErrNotFound; ErrOutcome when it may or may not have happened.
type Updater interface {
	Update(ctx context.Context, paths []string, key, version string, f record.Fields) (record.Record, error)
}

// A DeleteLog knows from a log of the system which records were deleted. Deleted emits the keys of those that were since
// the Next of an earlier window, perhaps some more, and perhaps not all: a direct read proves each, and a full scan
// finds the rest. ErrDenied where this user may not read the log.
type DeleteLog interface {
	Deleted(ctx context.Context, since string, emit func(key string) error) error
}

// A Counter counts the records in a scope in the system's own language ("" is all) without reading them.
type Counter interface {
	Count(ctx context.Context, native string) (int64, error)
}

// A Conditional collection makes an Update or Delete that is given a version conditional on it, in one step
// that nothing can come between. Of others the caller reads the record again before it writes.
type Conditional interface {
	Conditional() bool
}

// A Batcher puts writes that are asked for at the same time, and the reads before them, into requests of up to as many
// as it says: so many times more than the limits' concurrency are worth asking for at once. Each is answered for itself.
type Batcher interface {
	Batch() int
}

// A Deleter removes a record; ErrStale as for Updater. Not found counts as done.
type Deleter interface {
	Delete(ctx context.Context, key, version string) error
}

// A Retirer keeps its records for good. Retire brings one to the end that the system has for it (it is resolved, closed), so
// that a test record troubles nobody, and says in a word what has become of it.
type Retirer interface {
	Retire(ctx context.Context, key string) (became string, err error)
}

// A Checker says in findings what a person needs to know before the first run: who is logged in, with which
// rights, what is missing. The error is for a system that could not be asked at all.
type Checker interface {
	Check(ctx context.Context) ([]Finding, error)
}

// A Demand is what a sync is going to do with a collection.
type Demand struct {
	Writes []string                  // paths
	Values map[string][]record.Value // what is written to some of them, as far as the mapping names it
	Create bool
	Delete bool
	// Comments and Files are carried from or to the collection; no Path: they are not.
	Comments, Files Carried
}

// Carried is where comments or attachments of a sync are.
type Carried struct {
	Path  string
	Write bool // they are written there, not only read
}

// An Entitler is a collection that knows which rights its system asks for. Entitled says in findings which of those that a
// demand needs the account has, which it lacks, and what shows with the first write alone. It writes nothing.
type Entitler interface {
	Entitled(ctx context.Context, d Demand) ([]Finding, error)
}

// A Notifier is a collection whose system tells of changes by itself. Notify listens until ctx ends or the
// connection breaks, and returns why. It calls hint once when it has begun to listen, since what changed before
// was not heard, and then for each change, with the record's key if the system says it, else "". A hint
// proves nothing: the record is read. Notify returns nil at once where the settings name nothing to listen to.
type Notifier interface {
	Notify(ctx context.Context, hint func(key string)) error
}

// A Requirer is a collection that can say which of the paths that rules write do not exist on it, where its
// schema is not known before (properties of alarms). nil when all are there.
type Requirer interface {
	Require(ctx context.Context, paths []string) error
}

// A Locator knows the address under which a person finds a record in a browser.
type Locator interface {
	Locate(key string) string
}

// TestMark begins the marker of a record that somebody made only to see whether records can be made. No sync ever
// takes such a record for one of its own.
const TestMark = "fieldsync-test-"

// A Finding is one line of a check.
type Finding struct {
	OK     bool
	What   string // "log-in", "rights", "clock", …
	Detail string
	Hint   string // what to do, when not OK
}

// A Secret is a credential. It prints, logs and marshals as "(sensitive)"; Reveal is the only way to its content.
type Secret string

const hidden = "(sensitive)"

// Reveal returns the secret itself, for the wire.
func (s Secret) Reveal() string               { return string(s) }
func (s Secret) String() string               { return hidden }
func (s Secret) GoString() string             { return hidden }
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }

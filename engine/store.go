package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Errors of a Store, to branch on.
var (
	ErrLeased    = errors.New("another run has this sync")
	ErrLeaseLost = errors.New("the lease on the sync was lost")
	ErrPlanUsed  = errors.New("this plan was carried out before")
	// ErrStateAway is of a store that cannot be asked right now, and may well be in a moment.
	ErrStateAway = errors.New("the state cannot be reached")
)

// A LeasedError is an ErrLeased that tells who has the sync.
type LeasedError struct {
	Owner string
	Until time.Time
}

func (e *LeasedError) Error() string {
	return fmt.Sprintf("%s: %s, until %s", ErrLeased, e.Owner, e.Until.Format(time.RFC3339))
}

func (e *LeasedError) Unwrap() error { return ErrLeased }

// A Store remembers between runs what design semantics §1 lists. One suite holds every implementation to
// this page. A store opened for reading refuses every write and leaves each byte as it is.
type Store interface {
	// Lease takes the right to run a sync until ttl from now, or renews it for the same owner. A
	// [*LeasedError] when another owner's lease is alive. The fence
	// grows with every new holder.
	Lease(ctx context.Context, sync, owner string, ttl time.Duration) (fence int64, err error)
	Release(ctx context.Context, sync, owner string) error
	// Leased lists the leases that are alive and whose names begin with prefix, by name.
	Leased(ctx context.Context, prefix string) ([]string, error)

	// Book opens the memory of one sync. paths are the slots by side: values stored under other paths are
	// re-ordered on reading, paths that are new come back Absent. Writes carry the fence; a smaller one
	// than the newest gives ErrLeaseLost.
	Book(ctx context.Context, sync string, paths [2][]string, fence int64) (Book, error)

	// Spool makes an empty place for one run's own data, gone when it is closed. Works on a read-only store.
	Spool(ctx context.Context) (Spool, error)

	// Runs emits the newest runs first; sync "" means all; at most limit.
	Runs(ctx context.Context, sync string, limit int, emit func(plan.Run) error) error
	// Syncs lists what is known of each sync that ever ran, by name.
	Syncs(ctx context.Context) ([]SyncStatus, error)
	// Waiting emits what holds and conflicts wait, oldest first; sync "" means all.
	Waiting(ctx context.Context, sync string, emit func(Waiting) error) error

	// RunByID finds the account of one run; nil if there is none.
	RunByID(ctx context.Context, id int64) (*plan.Run, error)
	// Entry finds one entry of the history, of whatever sync, by its ID; nil if there is none.
	Entry(ctx context.Context, id int64) (*Entry, error)
	// Wrote emits what a run left in the history, by ID.
	Wrote(ctx context.Context, run int64, emit func(Entry) error) error

	// Approve keeps the approval of a stopped plan. It replaces an earlier one of the same plan.
	Approve(ctx context.Context, a PlanApproval) error
	// Approved finds an approval that is neither used nor over; nil if there is none.
	Approved(ctx context.Context, sync, digest string, now time.Time) (*PlanApproval, error)

	// Pause keeps the pause of a sync, in place of an earlier one. The sync need never have run.
	Pause(ctx context.Context, p Pause) error
	// Resume forgets the pause of a sync; false if it had none.
	Resume(ctx context.Context, sync string) (bool, error)
	// Pauses lists the pauses, by sync.
	Pauses(ctx context.Context) ([]Pause, error)

	// Tell keeps what a system said of a sync until a run has looked at it. Of more than [MostTold] records no names are
	// kept: it counts as told that something changed.
	Tell(ctx context.Context, sync string, told []Told) error
	// Told lists what was said of a sync, by side and key.
	Told(ctx context.Context, sync string) ([]Told, error)
	// Heed forgets what a run has looked at, as Told gave it, but not what was said again since. What remains is due.
	Heed(ctx context.Context, sync string, told []Told) error
	// PutOff has what was said of a sync wait until then, and counts one try more.
	PutOff(ctx context.Context, sync string, until time.Time) error
	// Due lists the syncs of which something was said by now that waits no longer, by name.
	Due(ctx context.Context, now time.Time) ([]string, error)

	// Pin shows a slip to every node for a while, in place of an earlier one of its name.
	Pin(ctx context.Context, s Slip) error
	// PinFirst pins a slip; false if there is one of its name that is not over, which stays.
	PinFirst(ctx context.Context, s Slip) (bool, error)
	// Slip finds one that is not over; nil if there is none.
	Slip(ctx context.Context, name string) (*Slip, error)
	// Slips emits those that are not over and whose names begin with prefix, by name.
	Slips(ctx context.Context, prefix string, emit func(Slip) error) error
	// Unpin takes a slip away; false if there was none.
	Unpin(ctx context.Context, name string) (bool, error)

	// Note keeps an act.
	Note(ctx context.Context, a Act) error
	// Acts emits the newest acts first, at most limit.
	Acts(ctx context.Context, limit int, emit func(Act) error) error

	// Prune forgets what is older than before: history, links that ended, accounts of runs (but the newest of
	// each sync), tombs, used plans, acts, approvals that are over since then, what was said of syncs; of each kind the
	// oldest, at most this many; and slips that are over now. It returns how much that was. A tomb that is alive keeps its link.
	Prune(ctx context.Context, before time.Time, most int) (int64, error)

	Close() error
}

// SyncStatus sums one sync up.
type SyncStatus struct {
	Sync      string    `json:"sync"`
	Links     int64     `json:"links"` // live and held
	Detached  int64     `json:"detached"`
	Conflicts int64     `json:"conflicts"`
	Held      int64     `json:"held"`
	Intents   int64     `json:"intents"` // writes whose outcome is not settled yet
	LastRun   *plan.Run `json:"last_run,omitempty"`
	LastGood  time.Time `json:"last_good,omitzero"`
	// Approval is of the plan that LastRun stopped at, where a person has approved it and no run has used that.
	Approval *PlanApproval `json:"approval,omitempty"`
}

// A PlanApproval lets one run of a sync carry out the plan with this digest although it runs into limits.
type PlanApproval struct {
	Sync   string    `json:"sync"`
	Digest string    `json:"digest"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"` // not valid from then on
}

// A Pause keeps a sync from being run by the service, other than on request.
type Pause struct {
	Sync string    `json:"sync"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Why  string    `json:"why,omitempty"`
}

// MostTold is how many records of a sync are remembered by name. From there on looking at what changed costs less than
// reading one by one.
const MostTold = 500

// A Told is a record that a system named since a run has looked at it.
type Told struct {
	Side  record.Side
	Key   string // "": something changed, and it was not said what, or too much
	Mark  int64  // another one each time that it is said; given by the store
	Tries int    // runs that came to nothing since
}

// A Slip is what one node wants others to know for a while: what its run does, that a request was taken or a log-in ended.
type Slip struct {
	Name  string
	Body  []byte
	Until time.Time // over from then on
}

// An Act is something that somebody did through the service or the command line, for the audit log.
type Act struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Action  string    `json:"action"`            // what was done: "pause"
	Subject string    `json:"subject,omitempty"` // to what: a sync, a link, the digest of a plan
	Why     string    `json:"why,omitempty"`
}

// A Book is the memory of one sync. Links that it hands out belong to the caller.
type Book interface {
	// StartRun keeps the account of a run that began, and gives r its ID and the fence of the book.
	StartRun(ctx context.Context, r *plan.Run) error
	// FinishRun replaces the account of a run that was started.
	FinishRun(ctx context.Context, r plan.Run) error
	// PlanUsed is ErrPlanUsed if the digest of a saved plan was marked as carried out.
	PlanUsed(ctx context.Context, digest string) error
	// UsePlan marks the digest of a saved plan as carried out; ErrPlanUsed if it was before.
	UsePlan(ctx context.Context, digest string, at time.Time) error
	// UseApproval finds an approval of this sync that is neither used nor over, and uses it up; nil if there is none.
	UseApproval(ctx context.Context, digest string, now time.Time) (*PlanApproval, error)

	// Prints emits the fingerprint of every record that was settled on this side, ordered by hash (as unsigned).
	Prints(ctx context.Context, s record.Side, emit func(Print) error) error
	// Print returns the fingerprint stored for one key hash.
	Print(ctx context.Context, s record.Side, hash uint64) (Print, bool, error)
	// PrintsOf emits those that are stored for any of these hashes, in any order.
	PrintsOf(ctx context.Context, s record.Side, hashes []uint64, emit func(Print) error) error

	// Cursor returns what was stored by the last Advance; false before the first.
	Cursor(ctx context.Context, s record.Side) (Cursor, bool, error)
	Advance(ctx context.Context, s record.Side, c Cursor) error

	// Link finds a link that is not ended by the key it has on one side; nil if there is none.
	Link(ctx context.Context, s record.Side, key string) (*record.Link, error)
	// LinkByID finds any link; nil if there is none.
	LinkByID(ctx context.Context, id int64) (*record.Link, error)
	// LinksOf emits the links that [Book.Link] finds by any of these keys, and LinksByID those with these IDs, in any order.
	LinksOf(ctx context.Context, s record.Side, keys []string, emit func(record.Link) error) error
	LinksByID(ctx context.Context, ids []int64, emit func(record.Link) error) error
	// Links emits every link with this status by ID. Fold may be called from emit.
	Links(ctx context.Context, status record.Status, emit func(record.Link) error) error
	// Keys emits the key on one side of every live or held link, without reading the rest of it.
	Keys(ctx context.Context, s record.Side, emit func(link int64, key string) error) error
	// KeysAfter returns the first keys on one side of live and held links that come after a key, by key, at most this many.
	KeysAfter(ctx context.Context, s record.Side, after string, most int) ([]string, error)
	// CountLinks counts live and held links.
	CountLinks(ctx context.Context) (int64, error)

	// Tomb reports whether key on this side belonged to a link that ended and may not be created again yet.
	Tomb(ctx context.Context, s record.Side, key string, now time.Time) (bool, error)
	// Tombs reports whether any tomb of this sync is alive.
	Tombs(ctx context.Context, now time.Time) (bool, error)
	// Buried returns the link that ended last with this key, as long as it is remembered; 0 if there is none.
	Buried(ctx context.Context, s record.Side, key string) (link int64, err error)

	// Origins emits who set the paths of a link last, by side and path.
	Origins(ctx context.Context, link int64, emit func(Origin) error) error
	// History emits what was replaced on the records of a link, by side and path, oldest first.
	History(ctx context.Context, link int64, emit func(Entry) error) error
	// Latest emits the newest entries of each of these places, newest first, at most this many of each: what a decision
	// may look at, however long the history is.
	Latest(ctx context.Context, places []Place, most int, emit func(Entry) error) error

	// Threads emits the comments of a link that are known, in the order in which they became so.
	Threads(ctx context.Context, link int64, emit func(Thread) error) error
	// Files emits the attachments of a link that are known, in the order in which they became so.
	Files(ctx context.Context, link int64, emit func(File) error) error
	// Heard returns how far the comments or attachments of a side were listened to; false before the first time.
	Heard(ctx context.Context, kind plan.Kind, s record.Side) (Heard, bool, error)
	// Hear stores that.
	Hear(ctx context.Context, kind plan.Kind, s record.Side, h Heard) error
	// Beside emits what waits of comments and attachments, by kind, side, link and entry.
	Beside(ctx context.Context, emit func(Beside) error) error

	// Waiting emits the holds and conflicts of one link (id) or, with 0, of all links and of records without
	// a link, by link, key and field. Those of comments and attachments are in Beside.
	Waiting(ctx context.Context, link int64, emit func(Waiting) error) error
	// Choose stores a person's decision of a waiting conflict. false if no such conflict waits.
	Choose(ctx context.Context, link int64, field string, c reconcile.Choice) (bool, error)

	// PutUp puts the parts of a side's scan up for other processes, numbered from 0, and forgets what earlier runs of the
	// sync have left of theirs. Only books with its fence see them.
	PutUp(ctx context.Context, s record.Side, tasks [][]byte) error
	// TakeDown forgets one part of a side, or AllParts, with what was handed over.
	TakeDown(ctx context.Context, s record.Side, n int) error
	// Parts lists those of a side that are put up, by number.
	Parts(ctx context.Context, s record.Side) ([]Part, error)
	// TakePart gives a part that has not ended from one taker ("": nobody) to another, and forgets what was handed over of
	// it; false if it was not from's any more.
	TakePart(ctx context.Context, s record.Side, n int, from, by string) (bool, error)
	// HandOver keeps what the taker of a part has found; an empty page only shows that it lives. false if the part is not
	// its own any more.
	HandOver(ctx context.Context, s record.Side, n int, by string, p Page) (bool, error)
	// EndPart keeps the account of a part that its taker has scanned to its end; false if it is not its own any more.
	EndPart(ctx context.Context, s record.Side, n int, by string, account []byte) (bool, error)
	// Pages emits what was handed over of a part, in order.
	Pages(ctx context.Context, s record.Side, n int, emit func(Page) error) error

	// Intend makes intents durable before their calls and gives them IDs.
	Intend(ctx context.Context, ins []*Intent) error
	// Intents returns the open ones, oldest first.
	Intents(ctx context.Context) ([]Intent, error)

	// Fold stores what became known of some links, each Fold whole or not at all; all of them in as few
	// transactions as possible. A Fold whose Link has ID 0 and a key inserts it and fills in the ID.
	Fold(ctx context.Context, folds []Fold) error
}

// A Print is the fingerprint of a record as it was last settled.
type Print struct {
	Hash  uint64 // of the key
	Print uint64 // of the values of every declared path, and of the rules
}

// A Part is one of a scan that a run has put up for other processes.
type Part struct {
	N       int
	Task    []byte // the engine's own encoding, as Account
	Taker   string // who scans it; "": nobody does
	Beats   int64  // how often the taker has handed something over
	Seen    int64  // records that it has seen
	Account []byte // how it ended; nil: it has not
}

// AllParts stands for every number of a part.
const AllParts = -1

// A Page is some of what a part holds.
type Page struct {
	Same  []uint64        // key hashes of records that show what was settled
	Found []record.Record // all others, but those that were never settled and are out of scope
	Seen  int64           // records of the part up to now
}

// A Cursor is how far one side was observed.
type Cursor struct {
	Since    string    // connectors.Window.Next
	Rules    string    // digest of the rules it was observed with
	Endpoint string    // fingerprint of the address, account and collection
	At       time.Time // when this was stored
	Full     time.Time // start of the last complete full scan
	Count    int64     // records in scope in the last complete full scan
	Audit    string    // key of the last link that was looked at whatever the scans said; "": the next is the first
	Clock    reconcile.Clock
	System   string // connectors.Window.System
	Zone     string // connectors.Window.Zone
	Newest   []Witness
}

// A Witness is one of the records that changed last on a side. A system that was restored to an earlier moment shows
// an earlier stamp of it, or does not have it at all.
type Witness struct {
	Key string
	At  time.Time // its stamp, by the system's clock
}

// An Intent is a write in flight.
type Intent struct {
	ID       int64
	Link     int64 // 0 for a create whose link is not stored
	Kind     plan.Kind
	Side     record.Side
	Key      string        // of the record written; "" for a create
	Twin     string        // key on the other side
	Marker   string        // create: path that carries the marker; comment, attachment: ID of the one on the other side
	Version  string        // expected; comment: ID of the copy that is edited, "" for a new one
	Expected record.Fields // what the record to be written showed when that was decided; nil for a create
	Source   record.Fields // what the record on the other side showed then; comment: a hash of its own text
	New      record.Fields // what they get; comment: its text, by path; attachment: what describes it
	At       time.Time
	Run      int64
	By       string // the person who puts values back by hand; "": the rules ask for it
}

// A Thread is a comment that needs no carrying any more: link, side and ID are its identity.
type Thread struct {
	Link int64
	Side record.Side // it was written on
	ID   string      // there
	Copy string      // ID of its copy on the other side; "" where there is none, or none that can be read
	Hash uint64      // of the copy's text; 0: there is none, as it is older than the link
	// Source is a hash of its own text when that was carried: another one is an edit. 0: not known.
	Source uint64
	At     time.Time
	Run    int64
}

// A File is an attachment that needs no carrying any more: link, side and ID are its identity.
type File struct {
	Link    int64
	Side    record.Side // it was put on
	ID      string      // there
	Hash    string      // SHA-256 of its content; "" where nobody had to know
	Size    int64       // of its content; -1: not known
	Copy    string      // ID of the file with that content on the other side; "" where there is none
	Refused string      // why the rules do not let it through; "" where they do
	At      time.Time
	Run     int64
}

// A Beside is a hold of the comments or attachments that one side of a link has, which waits beside its fields: when those
// are decided it stays. A Fold with the same kind, side, link and entry replaces it; Since and Tries go on.
type Beside struct {
	Kind  plan.Kind // plan.Comment or plan.Attachment
	Side  record.Side
	Link  int64      // 0: none of this side can be read
	Entry string     // ID of an attachment; "": the comments of the link, as one waits for the other
	Hold  *plan.Hold // nil in a Fold: nothing waits any more
}

// A Heard is how far the comments or attachments of a side were listened to.
type Heard struct {
	Path  string    // they stand in
	Rules string    // what decided which of them are carried
	Since time.Time // by the system's clock: later ones may be new
	At    time.Time // start of the run that listened
	Link  int64     // links with a larger ID were never listened to
}

// A Waiting is one hold or conflict that is stored. Conflict or Hold is set, not both.
type Waiting struct {
	Conflict *plan.Conflict
	Hold     *plan.Hold
	Choice   *reconcile.Choice // a person's decision that the next run carries out
	Seen     [2][]record.Value // conflict: the rule's values when it was found (Reads order)
}

// A Lost value was overwritten or lost a conflict: it goes to history.
type Lost struct {
	Side   record.Side
	Path   string // "" where Cause is about the whole record
	Value  record.Value
	By     record.Value // what replaced it, as the system stored that
	Rule   string       // "" for an edit, or when a person put the value back
	At     time.Time
	Run    int64
	Author string // who had written it, where known
	Cause  Cause  // "": ByRule
	Who    string // who replaced it, where known: the author of an edit, the person who put a value back
}

// A Cause says how a value came to be replaced.
type Cause string

const (
	ByRule   Cause = "rule"    // a run wrote what a rule asks for
	ByEdit   Cause = "edit"    // somebody edited the record in its own system, and a run found both sides agreed on that
	ByPerson Cause = "person"  // a person put an older value back
	Unseen   Cause = "unseen"  // a run wrote what a rule asks for over an edit that it could not have seen
	Averted  Cause = "averted" // a run put such an edit back
	Jumped   Cause = "jumped"  // something else was written together with a run's write, and nobody can tell what
	Made     Cause = "created" // a run made the record; nothing was replaced
	Removed  Cause = "deleted" // a run deleted the record; its last values stay with the link that ended
)

// An Entry is something that the history holds. Its ID brings the value back.
type Entry struct {
	ID   int64
	Sync string
	Link int64  // 0: the record had none
	Key  string // of the record
	Lost
}

// A Place is a path of a record that has a link.
type Place struct {
	Link int64
	Side record.Side
	Path string
}

// Place is where the entry's value was.
func (e *Entry) Place() Place { return Place{e.Link, e.Side, e.Path} }

// An Origin says who set a path's value.
type Origin struct {
	Side   record.Side
	Path   string
	Rule   string // "" when a person set it: an edit in its own system, or a value put back
	Run    int64
	At     time.Time
	Author string
}

// A Fold is everything that became known of one link (or of a record that has none).
type Fold struct {
	Intent    int64        // closed by this; 0: none
	Link      *record.Link // stored as it is; nil: the link is untouched
	End       string       // with Link.Status Ended: why; the keys get a tomb until TombUntil
	TombUntil time.Time
	Prints    [2]*Print // settled fingerprint of the record on that side; nil: untouched
	Forget    [2]uint64 // key hash whose fingerprint goes; 0: none
	// Waiting replaces all holds and conflicts of the link (or, without Link, those of the records Keys
	// that have no link) when Decided is true. Since and Tries of one that waited before are kept.
	Decided bool
	Keys    [2]string
	Waiting []Waiting
	Origins []Origin
	Lost    []Lost
	Threads []Thread // comments that are settled; one that is known already is replaced
	Files   []File   // attachments, likewise
	Beside  []Beside
}

// A Spool holds one run's own data outside memory: the records that moved and the items of the plan.
type Spool interface {
	// Put stores records that moved on a side; a key that is there already is replaced. match has, for each
	// match block, the hash of the record's value on that side (0: it has none).
	Put(ctx context.Context, s record.Side, recs []Moved) error
	// Get returns one record by key.
	Get(ctx context.Context, s record.Side, key string) (Moved, bool, error)
	// Each emits the records of a side by key. Get, SetDone and Add may be called from emit.
	Each(ctx context.Context, s record.Side, emit func(Moved) error) error
	// GetAll emits the records with these keys, in any order.
	GetAll(ctx context.Context, s record.Side, keys []string, emit func(Moved) error) error
	// Matching emits records of a side whose match hash of one block is among hashes, by key: of each hash the first
	// few, two at least where there are two, in whatever order they were put. That is enough to know that a match is not
	// unique.
	Matching(ctx context.Context, s record.Side, block int, hashes []uint64, emit func(Moved) error) error
	// Count is the number of records of a side.
	Count(ctx context.Context, s record.Side) (int64, error)

	// Add appends items of the plan with the data that carrying them out needs. order sorts them, then seq of Add.
	Add(ctx context.Context, items []Spooled) error
	// Items emits what was added with at least this order, sorted.
	Items(ctx context.Context, from int, emit func(Spooled) error) error
	Close() error
}

// A Moved is a record that is new, changed, gone or out of scope since it was last settled.
type Moved struct {
	Record   record.Record
	Presence reconcile.Presence
	Print    Print
	Match    []uint64
}

// A Spooled is an item of a plan, or a settlement without one.
type Spooled struct {
	Order int
	Sort  string // inside Order
	Data  []byte // the engine's own encoding
}

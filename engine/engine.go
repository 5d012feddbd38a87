// Package engine runs one sync once: observe both sides, decide, plan, carry out, remember.
//
// It holds the effects; every decision is made by package reconcile, every system is reached through package
// connectors, everything remembered lives behind [Store]. Start with [Engine.Plan]: it writes nothing, anywhere,
// and returns a [Run], whose items can be shown, saved and carried out. Errors that stop a run are returned;
// what concerns one record becomes a hold or a result and the rest goes on.
package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
)

// An Engine carries out jobs. The zero value of every field but Store is usable.
type Engine struct {
	Store    Store
	Log      *slog.Logger
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error // nil: as long as it says
	Owner    string                                     // who takes leases: host, process id, a random part
	Progress func(Progress)
	// SplitFrom is how many records a side has, as its last full scan counted them, that is read in parts where its system
	// can; 0: 50,000.
	SplitFrom int64
	Team      Team          // may be nil: there is nobody to share scans with
	Keep      time.Duration // how long history, ended links and accounts of runs are remembered; 0: for ever
	// Span is told of each stretch of work, for a trace: the work goes on with the context that it returns, and the
	// function is called when it ends. It may be nil. Names and attributes hold no values of records.
	Span func(ctx context.Context, name string, attrs ...slog.Attr) (context.Context, func(error))
}

// Progress is a step of long work, for a progress bar.
type Progress struct {
	Sync  string
	Phase string // "observe ticket", "observe incident", "decide", "carry out"
	Done  int64
	Total int64 // 0: not known
}

// A Job is one sync, ready to run.
type Job struct {
	Rules  *reconcile.Rules
	Ends   [2]End
	Limits Limits
	// Fetch gets the rows that look-up translations need; nil when the rules have none.
	Fetch func(ctx context.Context, needs []reconcile.Needed) error
	// Full reads both sides whole even where changes alone could be asked for.
	Full bool
	// FullSince asks for a full scan if the last complete one started before it; zero: never for this reason.
	FullSince time.Time
	// Only names records, by side, that have changed as somebody says: only they are looked at, if that is enough. They
	// are read: what was said of them proves nothing.
	Only    [2][]string
	Trigger string // for the account of the run
	// Again tries what is held before its time.
	Again bool
	Peers []Peer // syncs that may write to the same records
}

// An End is one side's collection.
type End struct {
	Connection string // name in the mapping
	Collection string
	Endpoint   string // fingerprint of address, account and collection: a change stops the run
	Handle     connectors.Collection
	Schema     *connectors.Schema // nil where the system does not describe it
	Native     string             // scope in the system's own language
	Limits     connectors.Limits
}

// Limits stop a plan that is larger than anybody expected.
type Limits struct {
	Creates, Updates, Deletes Limit
}

// A Limit is a number, a share of the links, the larger of both, or neither (no limit).
type Limit struct {
	Number  int64   // -1: no limit by number
	Percent float64 // 0: no limit by share; 1.5 means 1.5 %
}

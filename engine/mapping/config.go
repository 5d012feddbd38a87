// Package mapping turns mapping files (HCL with expr inside) into rules, or into messages with source lines.
//
// [Load] reads a directory; what is wrong with it is in the returned hcl.Diagnostics, each with the exact
// characters and a way out. [Config.Compile] then makes the rules of one sync, checking every path against
// what the two systems say of their collections. Meaning lives here; representation in connectors; decisions in
// reconcile. Nothing here talks to a system, except [Translation.Fetch] through the collection it is given.
package mapping

import (
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Options are what loading needs from outside.
type Options struct {
	Registry connectors.Registry
	Vars     map[string]string           // --var NAME=VALUE
	Getenv   func(string) (string, bool) // os.LookupEnv
}

// A Config is a loaded directory.
type Config struct {
	Dir          string
	Files        map[string]*hcl.File // by file name, for showing diagnostics
	Digest       string               // of all file contents
	Settings     Settings
	Connections  []*Connection // in the order of the files
	Translations []*Translation
	Syncs        []*Sync
	Tests        []*Test
	Notify       []*Notify
	Serve        Serve
	Secrets      []string // contents of credentials outside of connections, for masking output
	Inputs       []string // other files that were read: translations in CSV, file()

	ctx       *hcl.EvalContext
	locals    map[string]any
	functions []expression.Function
	sources   map[string]string // function → parameters and result, for digests
}

// Settings is the fieldsync block.
type Settings struct {
	State  string // path, already relative to the working directory, or a URL; default fieldsync.db in Dir
	Listen string
	Backup *Backup // nil: nobody asked for copies
	// History is how long replaced values, ended links and accounts of runs are remembered.
	History time.Duration
}

// A Connection is a connection block.
type Connection struct {
	Type, Name string
	Config     connectors.Config
	Limits     connectors.Limits
	Dir        string   // folder of the file: relative paths in Config start here
	Identity   string   // digest of type and settings without credentials
	Missing    []string // environment variables that its settings name and that are not set: it cannot be opened
	Secrets    []string // contents of its credentials, for masking output
	Webhooks   []*Webhook
	Range      hcl.Range
}

// A Sync is a sync block before its paths are checked.
type Sync struct {
	Name     string
	Sides    [2]Side // in the order they stand in the file
	After    []string
	Schedule string // cron or @every; "" for none
	Timezone *time.Location
	FullScan string // cron; "" for the default
	Limits   Limits
	Paths    [2][]string // every path the rules name, by side: what to describe and scan
	Writes   [2][]string // those that rules write
	Range    hcl.Range
	body     *syncBody
}

// A Side is a side block.
type Side struct {
	Name       string
	Connection *Connection
	Collection string
	Query      string
	Create     bool
	Range      hcl.Range
}

// Limits is the limits block of a sync; its fields are engine.Limit in the engine's terms.
type Limits struct {
	Creates, Updates, Deletes Limit
}

// A Limit is a number or a percentage; Number -1 and Percent 0 mean none.
type Limit struct {
	Number  int64
	Percent float64
}

// A Compiled sync is ready to run.
type Compiled struct {
	Sync    *Sync
	Rules   *reconcile.Rules
	Lookups []*Translation // those of its translations that are live tables
}

// A Test is a test block.
type Test struct {
	Name   string
	Sync   *Sync
	Base   [2]record.Fields // nil: never linked
	Now    [2]record.Fields // only what differs from Base; nil side with Gone false: unchanged
	Expect [2]record.Fields // paths that must be written, and their values; nil: nothing may be written
	Range  hcl.Range

	Gone       [2]bool  // now = { SIDE = "gone" }: the record was deleted
	ExpectGone [2]bool  // expect = { SIDE = "gone" }: the record must be deleted
	Conflicts  []string // expect = { conflict = [FIELD…] }: fields that must be in conflict
	Holds      []string // expect = { hold = [FIELD…] }: fields that must be held
	Kept       bool     // expect = "kept": whatever is written, every promise is kept

	names [2]map[string]hcl.Range // every path that the test names, and where
}

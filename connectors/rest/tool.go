package rest

import (
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A tool is a compiled description: what is asked, and how answers are read.
type tool struct {
	name        string // of the description; "" where the connection describes the tool itself
	headers     map[string]string
	auth        []Auth // the ways to log in that the description knows; nil: any
	login       *probe
	failed      *expr // condition, as the next two: an error
	missing     *expr // there is no such record
	stale       *expr // the record has another version by now
	message     *expr
	collections []*blueprint
}

// A probe is a request that only a user who is logged in gets an answer to.
type probe struct {
	path template
	user *expr
}

// A blueprint is a compiled collection.
type blueprint struct {
	name      string
	key       *expr
	keyPath   string // the path that holds the key, "" where it is computed
	labelPath string
	label     *expr
	version   *expr
	modified  *expr
	author    *expr
	where     *expr
	settle    time.Duration
	closed    bool
	list      *list
	changes   *list
	search    *list // where find goes; the list where the description does not say
	read      *read
	many      *read
	create    *write
	update    *write
	remove    *write
	fields    []*field
	named     []*named
	threads   []*thread
	cabinets  []*cabinet
}

type list struct {
	path    template
	query   []param
	items   *expr
	all     string
	layout  string // of {since}; "unix" for seconds, "unix_ms" for milliseconds
	zone    *time.Location
	overlap time.Duration
	page    *page
}

type pageKind uint8

const (
	whole    pageKind = iota // everything in one answer
	byOffset                 // skip so many records
	byNumber                 // page number
	byCursor                 // a word from the last answer
	byLink                   // an address from the last answer
)

type page struct {
	kind        pageKind
	param       string
	limit       string
	size, first int
	total       *expr
	next        *expr
	more        *expr
}

type read struct {
	path      template
	query     []param
	item      *expr
	items     *expr
	each      template
	separator string
	max       int
}

type write struct {
	method string
	path   template
	query  []param
	wrap   []string
	set    []constant
	text   []string // of a comment: where its text stands
	key    *expr
	item   *expr
	etag   bool
	given  bool // it names the version that it is about: {version}
}

// conditional reports whether the tool compares versions before it does w.
func (w *write) conditional() bool { return w != nil && (w.etag || w.given) }

// A constant is a member of every body of a write.
type constant struct {
	at    []string
	value any // texts in it may hold placeholders
}

type field struct {
	connectors.Field
	createOnly bool
	updateOnly bool
	read       *expr
	write      []string
	layout     string
	send       *expr
	clear      any
	join       string // between texts that several paths write to one place
	unknown    bool   // a member that is not there may be hidden
	find       []param
	options    *options
	step       *write
}

type options struct {
	path         template
	query        []param
	items        *expr
	value, label *expr
}

type named struct {
	path             string
	in               string
	name, id, member string // of an element: those that hold its name, what writes call it, and its value
	single, object   bool
	clear            any
	find             []param
	known            *list // of elements that there may be; nil: records show them
}

type thread struct {
	name    string
	label   string
	readers connectors.Readers
	where   *expr
	id      *expr
	text    *expr
	author  *expr
	time    *expr
	edited  *expr
	list    *list
	detail  *read
	add     *write
	edit    *write
}

// A cabinet is a compiled attachments block.
type cabinet struct {
	name                                    string
	label                                   string
	readers                                 connectors.Readers
	where                                   *expr
	id, file, kind, size, hash, made, maker *expr
	list                                    *list
	open                                    *opening
	upload, add                             *carry
}

// An opening is how the content of a file is asked for.
type opening struct {
	path      template // "" where link says
	query     []param
	link      *expr
	elsewhere bool
	data      *expr
}

type bodyKind uint8

const (
	asJSON bodyKind = iota
	asRaw
	asMultipart
)

type carry struct {
	method         string
	path           template
	query, headers []param
	body           bodyKind
	part           string
	wrap           []string
	set            []constant
	token, item    *expr
}

func (b *blueprint) field(path string) *field {
	if i := slices.IndexFunc(b.fields, func(f *field) bool { return f.Path == path }); i >= 0 {
		return b.fields[i]
	}
	return nil
}

// family is the named list that path is an element of, and the element's name.
func (b *blueprint) family(path string) (*named, string) {
	for _, n := range b.named {
		if name, ok := strings.CutPrefix(path, n.path+"."); ok && name != "" {
			return n, name
		}
	}
	return nil, ""
}

func (b *blueprint) thread(name string) *thread {
	if i := slices.IndexFunc(b.threads, func(t *thread) bool { return t.name == name }); i >= 0 {
		return b.threads[i]
	}
	return nil
}

func (b *blueprint) cabinet(name string) *cabinet {
	if i := slices.IndexFunc(b.cabinets, func(t *cabinet) bool { return t.name == name }); i >= 0 {
		return b.cabinets[i]
	}
	return nil
}

// types are what a field may be called in a description.
var types = map[string]record.Type{
	"text": {Kind: record.Text}, "int": {Kind: record.Int}, "float": {Kind: record.Float}, "bool": {Kind: record.Bool},
	"time": {Kind: record.Time}, "date": {Kind: record.Text, Layout: "2006-01-02"}, "list": {Kind: record.List}, "any": {},
}

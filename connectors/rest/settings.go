package rest

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
)

// Config is the body of a connection "rest" block. What describes the tool (log-in, collections) may stand in it, or
// in a description that system names; settings are what that description asks for.
type Config struct {
	System       string            `hcl:"system,optional"` // a shipped description, or the path of a file
	SystemRange  hcl.Range         `hcl:"system,attr_value_range"`
	URL          string            `hcl:"url"`
	Settings     map[string]string `hcl:"settings,optional"`
	InSettings   hcl.Range         `hcl:"settings,attr_value_range"`
	InsecureHTTP bool              `hcl:"insecure_http,optional"`
	Headers      map[string]string `hcl:"headers,optional"`
	Auth         []Auth            `hcl:"auth,block"`
	Login        *Login            `hcl:"login,block"`
	Error        *Failure          `hcl:"error,block"`
	Collections  []Collection      `hcl:"collection,block"`

	tool *tool // what all of it comes to; nil until Prepare
}

// A description is a file that describes a tool.
type description struct {
	Settings    []Setting         `hcl:"setting,block"`
	Headers     map[string]string `hcl:"headers,optional"`
	Auth        []Auth            `hcl:"auth,block"`
	Login       *Login            `hcl:"login,block"`
	Error       *Failure          `hcl:"error,block"`
	Collections []Collection      `hcl:"collection,block"`
}

// A Setting is something that differs from one installation of the tool to the next: setting.NAME in the description.
type Setting struct {
	Name        string    `hcl:"name,label"`
	Description string    `hcl:"description,optional"`
	Default     *string   `hcl:"default,optional"` // without one the connection must give it
	Range       hcl.Range `hcl:",def_range"`
}

// Auth is one way to log in. A description has a block for each way that the tool takes; a connection has one.
type Auth struct {
	Kind         string            `hcl:"kind,label"`
	Name         string            `hcl:"name,optional"`   // of the header or the query parameter
	Prefix       string            `hcl:"prefix,optional"` // in front of the key, in a header
	Key          connectors.Secret `hcl:"key,optional"`
	Token        connectors.Secret `hcl:"token,optional"`
	Username     string            `hcl:"username,optional"`
	Password     connectors.Secret `hcl:"password,optional"`
	Grant        string            `hcl:"grant,optional"` // oauth: client_credentials, password or refresh_token
	TokenURL     string            `hcl:"token_url,optional"`
	ClientID     string            `hcl:"client_id,optional"`
	ClientSecret connectors.Secret `hcl:"client_secret,optional"`
	RefreshToken connectors.Secret `hcl:"refresh_token,optional"`
	Scopes       []string          `hcl:"scopes,optional"`
	Range        hcl.Range         `hcl:",def_range"`
}

// Login is a request that succeeds only for a user who is logged in.
type Login struct {
	Path *hcl.Attribute `hcl:"path"`
	User *hcl.Attribute `hcl:"user,optional"` // expression: who that is
}

// Failure says how the tool reports errors.
type Failure struct {
	When    *hcl.Attribute `hcl:"when,optional"`    // true for an error behind a success status
	Missing *hcl.Attribute `hcl:"missing,optional"` // true where there is no such record
	Stale   *hcl.Attribute `hcl:"stale,optional"`   // true where the record has another version by now
	Message *hcl.Attribute `hcl:"message,optional"` // what it says
}

// Collection is one kind of record. A collection of the same name in the connection adds to that of the description:
// what it says counts, what it leaves out stays.
type Collection struct {
	Name     string         `hcl:"name,label"`
	Key      *hcl.Attribute `hcl:"key,optional"`
	Label    *hcl.Attribute `hcl:"label,optional"`
	Version  *hcl.Attribute `hcl:"version,optional"`
	Modified *hcl.Attribute `hcl:"modified,optional"`
	Author   *hcl.Attribute `hcl:"author,optional"`
	Where    *hcl.Attribute `hcl:"where,optional"`
	Settle   *hcl.Attribute `hcl:"settle,optional"`
	Closed   *hcl.Attribute `hcl:"closed,optional"`
	List     *List          `hcl:"list,block"`
	Changes  *List          `hcl:"changes,block"`
	Search   *List          `hcl:"search,block"`
	Read     *Read          `hcl:"read,block"`
	ReadMany *Read          `hcl:"read_many,block"`
	Create   *Write         `hcl:"create,block"`
	Update   *Write         `hcl:"update,block"`
	Delete   *Write         `hcl:"delete,block"`
	Fields   []Field        `hcl:"field,block"`
	Named    []Named        `hcl:"named,block"`
	Comments []Comments     `hcl:"comments,block"`
	Files    []Attachments  `hcl:"attachments,block"`
	Range    hcl.Range      `hcl:",def_range"`
}

// List is a request for many records. A changes block has what differs from the list block.
type List struct {
	Path    *hcl.Attribute `hcl:"path,optional"`
	Query   *hcl.Attribute `hcl:"query,optional"`
	Items   *hcl.Attribute `hcl:"items,optional"`
	All     *hcl.Attribute `hcl:"all,optional"`  // what {query} stands for when a side has no query
	Time    *hcl.Attribute `hcl:"time,optional"` // layout of {since}
	Zone    *hcl.Attribute `hcl:"zone,optional"`
	Overlap *hcl.Attribute `hcl:"overlap,optional"`
	Page    *Page          `hcl:"page,block"`
	Range   hcl.Range      `hcl:",def_range"`
}

// Page is how a list goes on: page "offset", "number", "cursor" or "link".
type Page struct {
	Kind  string         `hcl:"kind,label"`
	Param *hcl.Attribute `hcl:"param,optional"` // that says where to go on
	Limit *hcl.Attribute `hcl:"limit,optional"` // that says how many
	Size  *hcl.Attribute `hcl:"size,optional"`
	First *hcl.Attribute `hcl:"first,optional"` // number of the first page
	Total *hcl.Attribute `hcl:"total,optional"`
	Next  *hcl.Attribute `hcl:"next,optional"`
	More  *hcl.Attribute `hcl:"more,optional"`
	Range hcl.Range      `hcl:",def_range"`
}

// Read is a request for one record by its key, or for some by their keys.
type Read struct {
	Path      *hcl.Attribute `hcl:"path,optional"`
	Query     *hcl.Attribute `hcl:"query,optional"`
	Item      *hcl.Attribute `hcl:"item,optional"`
	Items     *hcl.Attribute `hcl:"items,optional"`
	Each      *hcl.Attribute `hcl:"each,optional"`
	Separator *hcl.Attribute `hcl:"separator,optional"`
	Max       *hcl.Attribute `hcl:"max,optional"`
	Range     hcl.Range      `hcl:",def_range"`
}

// Write is a request that changes something.
type Write struct {
	Method *hcl.Attribute `hcl:"method,optional"`
	Path   *hcl.Attribute `hcl:"path"`
	Query  *hcl.Attribute `hcl:"query,optional"`
	Wrap   *hcl.Attribute `hcl:"wrap,optional"`
	Set    *hcl.Attribute `hcl:"set,optional"`
	Text   *hcl.Attribute `hcl:"text,optional"`
	Key    *hcl.Attribute `hcl:"key,optional"`
	Item   *hcl.Attribute `hcl:"item,optional"`
	ETag   *hcl.Attribute `hcl:"etag,optional"`
	Range  hcl.Range      `hcl:",def_range"`
}

// Field is a path that is more than a member of the record.
type Field struct {
	Path       string         `hcl:"path,label"`
	Title      *hcl.Attribute `hcl:"label,optional"`
	Type       *hcl.Attribute `hcl:"type,optional"`
	Layout     *hcl.Attribute `hcl:"layout,optional"`
	ReadOnly   *hcl.Attribute `hcl:"read_only,optional"`
	CreateOnly *hcl.Attribute `hcl:"create_only,optional"`
	UpdateOnly *hcl.Attribute `hcl:"update_only,optional"`
	Required   *hcl.Attribute `hcl:"required,optional"`
	MaxLength  *hcl.Attribute `hcl:"max_length,optional"`
	Choices    *hcl.Attribute `hcl:"choices,optional"`
	Reference  *hcl.Attribute `hcl:"reference,optional"`
	Read       *hcl.Attribute `hcl:"read,optional"`
	Write      *hcl.Attribute `hcl:"write,optional"`
	Send       *hcl.Attribute `hcl:"send,optional"`
	Clear      *hcl.Attribute `hcl:"clear,optional"`
	Join       *hcl.Attribute `hcl:"join,optional"`
	Absent     *hcl.Attribute `hcl:"absent,optional"`
	Find       *hcl.Attribute `hcl:"find,optional"`
	Options    *Options       `hcl:"options,block"`
	Step       *Write         `hcl:"step,block"`
	Range      hcl.Range      `hcl:",def_range"`
}

// Options is where the tool lists the values of a field. The field shows their labels and sends their values.
type Options struct {
	Path  *hcl.Attribute `hcl:"path"`
	Query *hcl.Attribute `hcl:"query,optional"`
	Items *hcl.Attribute `hcl:"items"`
	Value *hcl.Attribute `hcl:"value"`
	Label *hcl.Attribute `hcl:"label"`
}

// Named is a list whose elements are fields with a name each: custom_fields.Severity.
type Named struct {
	Path   string         `hcl:"path,label"`
	In     *hcl.Attribute `hcl:"in,optional"`     // where the list stands in a record, and what it is called in a body
	Name   *hcl.Attribute `hcl:"name"`            // member of an element that has its name
	ID     *hcl.Attribute `hcl:"id,optional"`     // member that has what writes and searches call it
	Value  *hcl.Attribute `hcl:"value"`           // member that has its value
	Single *hcl.Attribute `hcl:"single,optional"` // a list of one value is that value
	Write  *hcl.Attribute `hcl:"write,optional"`  // "list" of elements, or "object" of values by name
	Clear  *hcl.Attribute `hcl:"clear,optional"`
	Find   *hcl.Attribute `hcl:"find,optional"`
	Known  *Known         `hcl:"known,block"`
	Range  hcl.Range      `hcl:",def_range"`
}

// Known is where the tool lists what elements a named list can have. Without it they are learned from records.
type Known struct {
	Path  *hcl.Attribute `hcl:"path"`
	Query *hcl.Attribute `hcl:"query,optional"`
	Items *hcl.Attribute `hcl:"items"`
}

// Comments is one kind of comments that records have.
type Comments struct {
	Name    string         `hcl:"name,label"`
	Title   *hcl.Attribute `hcl:"label,optional"`
	Readers *hcl.Attribute `hcl:"readers,optional"`
	Where   *hcl.Attribute `hcl:"where,optional"`
	ID      *hcl.Attribute `hcl:"id"`
	Text    *hcl.Attribute `hcl:"text"`
	Author  *hcl.Attribute `hcl:"author,optional"`
	Time    *hcl.Attribute `hcl:"time,optional"`
	Edited  *hcl.Attribute `hcl:"edited,optional"`
	List    *List          `hcl:"list,block"`
	Detail  *Read          `hcl:"read,block"`
	Add     *Write         `hcl:"add,block"`
	Edit    *Write         `hcl:"edit,block"`
	Range   hcl.Range      `hcl:",def_range"`
}

// Attachments is one kind of files that records have.
type Attachments struct {
	Label   string         `hcl:"label,label"`
	Title   *hcl.Attribute `hcl:"label,optional"`
	Readers *hcl.Attribute `hcl:"readers,optional"`
	Where   *hcl.Attribute `hcl:"where,optional"`
	ID      *hcl.Attribute `hcl:"id"`
	Name    *hcl.Attribute `hcl:"name"`
	Type    *hcl.Attribute `hcl:"type,optional"`
	Size    *hcl.Attribute `hcl:"size,optional"`
	Hash    *hcl.Attribute `hcl:"hash,optional"` // SHA-256; what looks like something else is not used
	Author  *hcl.Attribute `hcl:"author,optional"`
	Time    *hcl.Attribute `hcl:"time,optional"`
	List    *List          `hcl:"list,block"`
	Open    *Open          `hcl:"open,block"`
	Upload  *Carry         `hcl:"upload,block"`
	Add     *Carry         `hcl:"add,block"`
	Range   hcl.Range      `hcl:",def_range"`
}

// Open is a request for the content of a file: at a path, or where the list says.
type Open struct {
	Path      *hcl.Attribute `hcl:"path,optional"`
	Query     *hcl.Attribute `hcl:"query,optional"`
	Link      *hcl.Attribute `hcl:"link,optional"`
	Elsewhere *hcl.Attribute `hcl:"elsewhere,optional"` // the link may lead to another server, which gets no credentials
	Data      *hcl.Attribute `hcl:"data,optional"`      // where the answer is JSON: the content in base64
	Range     hcl.Range      `hcl:",def_range"`
}

// Carry is a request that takes a file to the tool, or makes one that was taken there an attachment of a record.
type Carry struct {
	Method  *hcl.Attribute `hcl:"method,optional"`
	Path    *hcl.Attribute `hcl:"path"`
	Query   *hcl.Attribute `hcl:"query,optional"`
	Headers *hcl.Attribute `hcl:"headers,optional"`
	Body    *hcl.Attribute `hcl:"body,optional"` // "json", "raw" or "multipart"
	Part    *hcl.Attribute `hcl:"part,optional"` // of a multipart body: what the tool calls the file
	Wrap    *hcl.Attribute `hcl:"wrap,optional"`
	Set     *hcl.Attribute `hcl:"set,optional"`
	Token   *hcl.Attribute `hcl:"token,optional"`
	Item    *hcl.Attribute `hcl:"item,optional"`
	Range   hcl.Range      `hcl:",def_range"`
}

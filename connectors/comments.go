package connectors

import (
	"context"
	"time"
)

// A Comment is one entry in a thread beside a record.
type Comment struct {
	ID     string    // unique among the comments of its record, and never given to another one
	Author string    // as the system names its users; "" where it does not say
	Time   time.Time // when it was written, by the system's clock; zero where it does not say
	Text   string
}

// A CommentReader keeps comments beside its records. A path names one kind of them (work notes, comments): the
// paths are in [Schema.Threads]. ErrDenied when this user may not read them.
type CommentReader interface {
	// Comments emits the comments under path of the records with these keys, of all records when keys is nil,
	// that were written at since or later, and those that were edited then where that can be told; a zero since asks
	// for all of them. Order is free, and one that was written earlier may come too.
	Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(key string, c Comment) error) error
}

// A Commenter can add to them, too. What AddComment returns is the comment as it is stored; its ID is "" where it
// was stored and cannot be read. ErrNotFound; ErrOutcome when it may or may not have happened.
type Commenter interface {
	CommentReader
	AddComment(ctx context.Context, path, key, text string) (Comment, error)
}

// A CommentEditor can change comments of its own that say was, and no others: ErrStale when one says something else by
// now, ErrNotFound, ErrOutcome. What comes back is the comment as it is stored. Threads that it does so in are Editable.
type CommentEditor interface {
	EditComment(ctx context.Context, path, key, id, was, text string) (Comment, error)
}

// A Thread is a path under which a collection keeps comments, or files.
type Thread struct {
	Path     string
	Label    string
	Readers  Readers
	Editable bool // comments can be changed: see CommentEditor
	ReadOnly bool // nothing can be added here
}

// Readers says who reads a thread, where that is known.
type Readers uint8

const (
	SomeReaders Readers = iota // not known
	Staff                      // internal notes
	Public                     // customers read them
)

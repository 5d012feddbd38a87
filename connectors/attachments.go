package connectors

import (
	"context"
	"io"
	"net/url"
	"time"
)

// An Attachment is a file beside a record. Its content is never changed once it is stored.
type Attachment struct {
	ID     string // unique among the files of its record, and never given to another one
	Name   string
	Type   string // media type; "" where the system does not say
	Size   int64  // of the content, in bytes; -1 where the system does not say
	Time   time.Time
	Author string
	Hash   string // SHA-256 of the content in 64 lower-case hexadecimal digits; "" where the system does not say
}

// An AttachmentReader keeps files beside its records. A path names one kind of them: the paths are in
// [Schema.Files]. ErrDenied when this user may not read them.
type AttachmentReader interface {
	// Attachments emits the files under path of the records with these keys, of all records when keys is nil,
	// that were added at since or later; a zero since asks for all of them. Order is free, and one that was
	// added earlier may come too.
	Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(key string, a Attachment) error) error
	// OpenAttachment returns the content of one file, which the caller reads and closes. A content that ends
	// early ends in an error. ErrNotFound.
	OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error)
}

// An Attacher can add files, too. Name, Type and Size of a say what is added; content has exactly Size bytes, stands
// at its beginning, and may be read more than once until Attach returns. What comes back is the file as it is stored.
// ErrNotFound when there is no such record; ErrOutcome when it may or may not have happened.
type Attacher interface {
	AttachmentReader
	Attach(ctx context.Context, path, key string, a Attachment, content io.ReadSeeker) (Attachment, error)
}

// An Elsewhere is the cause of an error that stands for a redirect to another server, which is not followed: credentials
// go to no stranger. Whoever wants what is there asks for it without them.
type Elsewhere struct{ At *url.URL }

func (e *Elsewhere) Error() string { return "it is at " + e.At.Host }

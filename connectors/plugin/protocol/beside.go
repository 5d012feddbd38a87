package protocol

import (
	"errors"
	"fmt"

	"github.com/fieldsync/fieldsync/connectors"
)

// OfComment is a comment of the record key for the wire.
func OfComment(key string, c connectors.Comment) *Comment {
	return &Comment{Key: key, Id: c.ID, Author: c.Author, Time: OfTime(c.Time), Text: c.Text}
}

// ToComment is what the wire says.
func ToComment(x *Comment) (key string, c connectors.Comment, err error) {
	at, err := ToTime(x.GetTime())
	if err != nil {
		return "", c, fmt.Errorf("a comment: %w", err)
	}
	return x.GetKey(), connectors.Comment{ID: x.GetId(), Author: x.GetAuthor(), Time: at, Text: x.GetText()}, nil
}

// OfAttachment is a file of the record key for the wire.
func OfAttachment(key string, a connectors.Attachment) *Attachment {
	return &Attachment{Key: key, Id: a.ID, Name: a.Name, Type: a.Type, Size: a.Size, Time: OfTime(a.Time), Author: a.Author, Hash: a.Hash}
}

// ToAttachment is what the wire says.
func ToAttachment(x *Attachment) (key string, a connectors.Attachment, err error) {
	at, err := ToTime(x.GetTime())
	switch {
	case err != nil:
		return "", a, fmt.Errorf("a file: %w", err)
	case x.GetSize() < -1:
		return "", a, fmt.Errorf("a file of %d bytes", x.GetSize())
	case x.GetHash() != "" && !isHash(x.GetHash()):
		return "", a, errors.New("a file whose hash is not the 64 lower-case digits of SHA-256")
	}
	return x.GetKey(), connectors.Attachment{ID: x.GetId(), Name: x.GetName(), Type: x.GetType(), Size: x.GetSize(), Time: at, Author: x.GetAuthor(), Hash: x.GetHash()}, nil
}

func isHash(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 64
}

// OfEdit is e for the wire.
func OfEdit(e connectors.Edit) *Edit {
	return &Edit{Path: e.Path, Old: OfValue(e.Old), New: OfValue(e.New), Author: e.Author, Own: e.Own, Time: OfTime(e.Time)}
}

// ToEdit is what the wire says.
func ToEdit(x *Edit) (e connectors.Edit, err error) {
	e = connectors.Edit{Path: x.GetPath(), Author: x.GetAuthor(), Own: x.GetOwn()}
	if e.Time, err = ToTime(x.GetTime()); err == nil {
		if e.Old, err = ToValue(x.GetOld()); err == nil {
			e.New, err = ToValue(x.GetNew())
		}
	}
	return e, err
}

package connectors

import (
	"context"
	"encoding/json"
)

// A Splitter scans parts of its keys' range apart from each other, at the same time or from several processes. Split cuts
// the scan that q asks for into parts, at most so many, each for the Part of a query that is otherwise the same. They are
// disjoint and together everything: the first is open below and the last above, so that a record made meanwhile is in one
// of them, too. None or one: the keys cannot be cut, or hold too little.
//
// The window is that of all the parts together: its Next is from before the first of them. Where a part's own Next is "" it
// is void. ErrConfig for a part that Split did not make.
type Splitter interface {
	Split(ctx context.Context, q Query, most int) (parts []string, w Window, err error)
}

// A Range is a part for connectors whose keys are texts: those after After, up to and with To; "" is open.
type Range struct{ After, To string }

// Ranges are the parts between bounds that ascend.
func Ranges(bounds []string) []string {
	parts := make([]string, 0, len(bounds)+1)
	after := ""
	for _, b := range append(bounds[:len(bounds):len(bounds)], "") {
		parts = append(parts, Range{after, b}.String())
		after = b
	}
	return parts
}

// String is the range as a part.
func (r Range) String() string {
	text, _ := json.Marshal([2]string{r.After, r.To}) // strings can be marshalled
	return string(text)
}

// ParseRange undoes String; "" is everything.
func ParseRange(op, part string) (r Range, err error) {
	if part == "" {
		return r, nil
	}
	var ends []string
	if err := json.Unmarshal([]byte(part), &ends); err != nil || len(ends) != 2 {
		return r, NoPart(op, part)
	}
	return Range{ends[0], ends[1]}, nil
}

// NoPart is the error for a part that no Split has made.
func NoPart(op, part string) error {
	return &Error{Kind: ErrConfig, Op: op, Detail: part + " is no part of a scan of this collection", Hint: "scan it whole"}
}

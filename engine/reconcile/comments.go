package reconcile

import "time"

// Comments says how the comments of linked records are carried: each once, as a new comment on the other side.
type Comments struct {
	At      string    // file:line
	Paths   [2]string // where a side keeps them
	To      [2]bool   // comments are carried to this side
	Edits   [2]bool   // copies on this side follow later edits of what they are copies of
	History bool      // also those that are older than the link
	// Text makes the text of a copy.
	Text func(author string, at time.Time, text string) (string, error)
}

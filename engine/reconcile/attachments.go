package reconcile

import (
	"fmt"
	"strings"
)

// Attachments are the rule by which files travel beside the fields. Each is carried once, by its content.
type Attachments struct {
	At      string    // file:line
	Paths   [2]string // of each side's files
	To      [2]bool   // whether files are carried to a side
	MaxSize int64     // bytes
	Types   []string  // media types that are carried, "image/*" for a family; none: every type
	History bool      // files older than the link are carried too
}

// Limits are what decides which files are carried, for comparison.
func (a *Attachments) Limits() string { return fmt.Sprintf("%d %q", a.MaxSize, a.Types) }

// Allows reports whether files of a media type are carried. One that nobody has named counts as plain bytes.
func (a *Attachments) Allows(mediaType string) bool {
	if len(a.Types) == 0 {
		return true
	}
	name, _, _ := strings.Cut(mediaType, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" {
		name = "application/octet-stream"
	}
	family, _, _ := strings.Cut(name, "/")
	for _, t := range a.Types {
		if t = strings.ToLower(t); t == name || t == family+"/*" || t == "*/*" {
			return true
		}
	}
	return false
}

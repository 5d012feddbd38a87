package project

import (
	"time"

	"github.com/fieldsync/fieldsync/engine/report"
)

// Plural writes n with its noun.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return report.Count(int64(n)) + " " + noun + "s"
}

// Stamp is a time as it stands in what fieldsync prints.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

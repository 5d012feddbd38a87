package mapping

import (
	"fmt"

	"github.com/fieldsync/fieldsync/connectors"
)

// A Carriage is a comments or an attachments block that two described collections suggest.
type Carriage struct {
	Paths [2]string
	To    [2]bool // the sides that get copies
	Sure  bool    // what staff alone may read stays with staff, as far as both systems say who reads what
	Why   string
}

// ProposeThreads finds the two paths between which comments, or files, can go and show nobody what they were kept from.
// Where the systems do not say who reads them, the left side's go to the right, and the proposal is not sure. What is known
// to be for staff never goes where it is not known to stay so.
func ProposeThreads(names [2]string, threads [2][]connectors.Thread) (best Carriage, ok bool) {
	most := 0
	for _, a := range threads[0] {
		for _, b := range threads[1] {
			pair := [2]connectors.Thread{a, b}
			c := Carriage{Paths: [2]string{a.Path, b.Path}, Sure: true}
			score := 0
			for i := range 2 {
				if c.To[i] = keeps(pair[1-i], pair[i]); c.To[i] {
					score += 10 + i // of two ways to go one, it is to where new records are made
				}
			}
			switch {
			case score == 0 && !b.ReadOnly && a.Readers != connectors.Staff:
				c.To, c.Sure, score = [2]bool{false, true}, false, 2
			case score == 0 && !a.ReadOnly && b.Readers != connectors.Staff:
				c.To, c.Sure, score = [2]bool{true, false}, false, 1
			}
			if a.Readers == connectors.Staff && b.Readers == connectors.Staff {
				score++ // of two pairs that match, the one that customers see nothing of
			}
			if score > most {
				most, best, ok = score, c, true
				best.Why = fmt.Sprintf("%s.%s is %s, %s.%s is %s", names[0], a.Path, readBy(a), names[1], b.Path, readBy(b))
			}
		}
	}
	return best, ok
}

// keeps reports whether what stands in one thread may certainly be added to another.
func keeps(from, to connectors.Thread) bool {
	if to.ReadOnly {
		return false
	}
	return to.Readers == connectors.Staff || to.Readers == connectors.Public && from.Readers == connectors.Public
}

func readBy(t connectors.Thread) string {
	switch t.Readers {
	case connectors.Staff:
		return "for staff alone"
	case connectors.Public:
		return "read by customers"
	}
	return "for readers that its system does not name"
}

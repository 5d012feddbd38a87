package project

import (
	"github.com/fieldsync/fieldsync/connectors"
)

// A beside is what a collection keeps beside its fields.
type beside struct {
	What  string
	Where []string
}

// Besides are the comments and attachments that a collection has beside its fields.
func Besides(s *connectors.Schema) []beside {
	var list []beside
	for _, b := range []struct {
		what    string
		threads []connectors.Thread
	}{{"comments", s.Threads}, {"attachments", s.Files}} {
		var where []string
		for _, t := range b.threads {
			switch t.Readers {
			case connectors.Staff:
				where = append(where, t.Path+" (for staff alone)")
			case connectors.Public:
				where = append(where, t.Path+" (customers read them)")
			default:
				where = append(where, t.Path)
			}
		}
		if where != nil {
			list = append(list, beside{b.what, where})
		}
	}
	return list
}

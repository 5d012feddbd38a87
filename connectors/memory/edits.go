package memory

import (
	"context"
	"slices"
	"strconv"

	"github.com/fieldsync/fieldsync/connectors"
)

// own is who writes through the contract.
const own = "fieldsync"

// An edit is one that an audited store keeps.
type edit struct {
	key     string
	version uint64 // of the record after it
	connectors.Edit
}

// note keeps what a change replaced. It needs the lock.
func (s *Store) note(was, is row) {
	if !s.Audited {
		return
	}
	for slot, f := range s.fields {
		if was.values[slot] != is.values[slot] {
			s.edits = append(s.edits, edit{is.key, is.edits, connectors.Edit{Path: f.Path, Old: was.values[slot], New: is.values[slot],
				Author: is.author, Own: is.author == own, Time: is.modified}})
		}
	}
}

// Overtaken compares versions, which count the edits of a record.
func (s *Store) Overtaken(before, after string) bool {
	from, ferr := strconv.ParseUint(before, 10, 64)
	to, terr := strconv.ParseUint(after, 10, 64)
	return s.Audited && ferr == nil && terr == nil && to > from+1
}

// Edits emits what an audited store has kept.
func (s *Store) Edits(ctx context.Context, key string, paths []string, before string, emit func(connectors.Edit) error) error {
	op := Op{Name: "edits", Key: key}
	if err := s.hook(ctx, op); err != nil {
		return err
	}
	if !s.Audited {
		return &connectors.Error{Kind: connectors.ErrDenied, Op: "edits of " + key, Detail: "this store keeps none"}
	}
	from, err := strconv.ParseUint(before, 10, 64)
	if err != nil {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "edits of " + key, Detail: "the version is not one of this store"}
	}
	s.mu.RLock()
	edits := slices.Clone(s.edits)
	s.mu.RUnlock()
	for _, e := range edits {
		if e.key != key || e.version < from || !slices.Contains(paths, e.Path) {
			continue
		}
		if err := emit(e.Edit); err != nil {
			return err
		}
	}
	op.Done = true
	return s.hook(ctx, op)
}

package state

import "context"

// Freeze stands still in the midst of a transaction that has looked at the lease of a sync, until it is told to go on.
func (s *Store) Freeze(ctx context.Context, sync string) (stands <-chan struct{}, goes func()) {
	in, out := make(chan struct{}), make(chan struct{})
	go s.write(ctx, sync, "freeze", 1, func(c *conn, careful bool) error {
		if careful {
			return nil
		}
		_, err := c.number("SELECT fence FROM lease WHERE sync = ?"+c.dialect().lock, sync)
		close(in)
		<-out
		return err
	})
	return in, func() { close(out) }
}

// Schema is the newest migration that a store knows.
func (s *Store) Schema() int64 {
	if _, ok := s.db.(*server); ok {
		return latestSchema(pgMigrations)
	}
	return latestSchema(liteMigrations)
}

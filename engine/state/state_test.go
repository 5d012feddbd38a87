package state_test

import (
	"path/filepath"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/state"
	"github.com/fieldsync/fieldsync/engine/state/storetest"
)

func open(t testing.TB, path string, o state.Options) *state.Store {
	t.Helper()
	s, err := state.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSQLiteKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) engine.Store {
		return open(t, filepath.Join(t.TempDir(), "state.db"), state.Options{})
	})
}

func TestPostgreSQLKeepsThePromisesOfAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) engine.Store {
		return open(t, sqltest.Postgres(t), state.Options{})
	})
}

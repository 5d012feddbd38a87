package state_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Main(m).Run()) }

// kinds make a place for a state of either kind.
var kinds = map[string]func(t testing.TB) string{
	"a file":     func(t testing.TB) string { return filepath.Join(t.TempDir(), "state.db") },
	"PostgreSQL": sqltest.Postgres,
}

// direct is the database itself, to be closed.
func direct(t testing.TB, path string) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite3", "file:"+path
	if strings.HasPrefix(path, "postgres") {
		driver, dsn = "pgx", path+"&search_path=fieldsync"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// integrity is "ok" where the pages of the database are; those of a server are its own matter.
func integrity(t testing.TB, path string) string {
	if strings.HasPrefix(path, "postgres") {
		return "ok"
	}
	return query(t, path, "PRAGMA integrity_check")
}

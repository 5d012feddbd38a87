package state_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/state"
)

func TestADatabaseOpenedForReadingStaysAsItIs(t *testing.T) {
	url := sqltest.Postgres(t)
	empty := open(t, url, state.Options{ReadOnly: true})
	if known, err := empty.Syncs(t.Context()); err != nil || len(known) != 0 {
		t.Errorf("an empty database knows %v, %v", known, err)
	}
	if got := query(t, url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'fieldsync'"); got != "0" {
		t.Error("opening for reading made a schema")
	}
	fold(t, book(t, open(t, url, state.Options{})), engine.Fold{Link: link(1)})
	reader := open(t, url, state.Options{ReadOnly: true})
	if _, err := reader.Lease(t.Context(), "a", "me", time.Hour); !errors.Is(err, state.ErrReadOnly) {
		t.Errorf("a lease for reading: %v", err)
	}
	b, err := reader.Book(t.Context(), "a", paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := b.Link(t.Context(), record.Left, "T-1"); err != nil || l == nil {
		t.Errorf("link %v, %v", l, err)
	}
}

func TestADatabaseOfAnotherVersionIsRefusedAndLeftAlone(t *testing.T) {
	url := sqltest.Postgres(t)
	open(t, url, state.Options{}).Close()
	change(t, url, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)")
	for _, readOnly := range []bool{true, false} {
		_, err := state.Open(url, state.Options{ReadOnly: readOnly})
		if !errors.Is(err, state.ErrNewer) || connectors.Hint(err) == "" {
			t.Errorf("a newer schema: %v", err)
		}
	}
	change(t, url, "DELETE FROM goose_db_version WHERE version_id >= 8")
	if _, err := state.Open(url, state.Options{ReadOnly: true}); !errors.Is(err, state.ErrOlder) {
		t.Errorf("an older schema: %v", err)
	}
}

func TestBothKindsHaveTheSameMigrations(t *testing.T) {
	file, url := open(t, kinds["a file"](t), state.Options{}), open(t, sqltest.Postgres(t), state.Options{})
	if f, p := file.Schema(), url.Schema(); f != p {
		t.Errorf("a file has schema %d, a database %d", f, p)
	}
}

func TestNoMessageHoldsThePassword(t *testing.T) {
	const password = "sehr-geheim-4711"
	good := sqltest.Postgres(t)
	for name, url := range map[string]string{
		"nobody listens":      "postgres://fs:" + password + "@127.0.0.1:1/state",
		"no such host":        "postgres://fs:" + password + "@nowhere.invalid/state",
		"no such database":    strings.Replace(good[:strings.LastIndex(good, "/")]+"/none?sslmode=disable", "trusted-and-secret", password, 1),
		"a wrong escape":      "postgres://fs:" + password + "%zz@127.0.0.1/state",
		"a wrong port":        "postgres://fs:" + password + "@127.0.0.1:port/state",
		"a wrong setting":     "postgres://fs:" + password + "@127.0.0.1/state?sslmode=perhaps",
		"as a parameter":      "postgres://127.0.0.1:1/state?user=fs&password=" + password,
		"a parameter unknown": strings.Replace(good, "trusted-and-secret", password, 1) + "&no_such_setting=1",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := state.Open(url, state.Options{})
			if err == nil || connectors.Hint(err) == "" && name != "a parameter unknown" {
				t.Fatalf("%v, without a way out", err)
			}
			if all := err.Error() + connectors.Hint(err) + state.Name(url); strings.Contains(all, "geheim") {
				t.Errorf("it says %s", all)
			}
			if secrets := strings.Join(state.Secrets(url), " "); !strings.Contains(secrets, password) {
				t.Errorf("the password is none of the secrets %s", secrets)
			}
		})
	}
}

func TestAServerThatWasRestartedIsFoundAgain(t *testing.T) {
	url := sqltest.Postgres(t)
	s := open(t, url, state.Options{})
	b := book(t, s)
	fold(t, b, engine.Fold{Link: link(1)})
	cut := func() {
		change(t, url, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	}
	cut()
	if l, err := b.Link(t.Context(), record.Left, "T-1"); err != nil || l == nil {
		t.Errorf("reading: %v, %v", l, err)
	}
	cut()
	if err := b.Fold(t.Context(), []engine.Fold{{Link: link(2)}}); err != nil {
		t.Errorf("writing: %v", err)
	}
}

// A node may be frozen in the midst of a transaction. The server ends that before the lease does.
func TestATransactionThatStandsStillKeepsNobodyFromTheLease(t *testing.T) {
	url := sqltest.Postgres(t)
	s := open(t, url, state.Options{})
	if _, err := s.Lease(t.Context(), "a", "frozen", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	stands, goes := s.Freeze(t.Context(), "a")
	<-stands
	defer goes()
	began := time.Now()
	other := open(t, url, state.Options{})
	fence, err := other.Lease(t.Context(), "a", "awake", time.Hour)
	if err != nil || fence != 2 {
		t.Errorf("after %s: fence %d, %v", time.Since(began), fence, err)
	}
	took := time.Since(began)
	if took > 9*time.Second {
		t.Errorf("it took %s", took)
	}
	if took < 3*time.Second {
		t.Errorf("after %s the lease was another's, while a transaction that had found it its own could still be committed", took)
	}
}

func TestLeasesGoByTheServersClock(t *testing.T) {
	url := sqltest.Postgres(t)
	ahead := open(t, url, state.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	behind := open(t, url, state.Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	if _, err := behind.Lease(t.Context(), "a", "behind", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := ahead.Lease(t.Context(), "a", "ahead", 10*time.Second); !errors.Is(err, engine.ErrLeased) {
		t.Errorf("a node whose clock is ahead took a lease that is alive: %v", err)
	}
}

package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine"
)

// ErrServer is a PostgreSQL server that refuses us.
var ErrServer = errors.New("the PostgreSQL server of the state cannot be used")

// fault gives an error of the server, or of the way to it, a way out. Nothing that is said holds the password.
func (s *server) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*connectors.Error](err); done {
		return err
	}
	e := &connectors.Error{Op: op + " " + s.name, Err: err}
	if said, ok := errors.AsType[*pgconn.PgError](err); ok {
		e.Detail, e.Hint, e.Kind = explainServer(said)
		if e.Kind == nil {
			return fmt.Errorf("%s %s: %w", op, s.name, err)
		}
		return e
	}
	_, network := errors.AsType[net.Error](err)
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	broken := network || connect || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
	if errors.Is(err, errSlow) || broken && !errors.Is(err, context.Canceled) {
		e.Kind, e.Hint = engine.ErrStateAway, "see that the server runs and can be reached from here; what was not stored is found again by the next run"
		return e
	}
	return fmt.Errorf("%s %s: %w", op, s.name, err)
}

// explainServer knows the answers that an operator can do something about.
func explainServer(e *pgconn.PgError) (detail, hint string, kind error) {
	switch e.Code {
	case "28P01", "28000":
		return e.Message, "check user and password in the URL, and pg_hba.conf of the server", ErrServer
	case "3D000":
		return e.Message, "make it: createdb NAME, owned by the user in the URL", ErrServer
	case "42501":
		return e.Message, "let the user in the URL make and own the schema " + pgSchema + ": GRANT CREATE ON DATABASE … TO …", ErrServer
	case "53300":
		return e.Message, fmt.Sprintf("each node takes up to %d connections: raise max_connections, or lower pool_max_conns in the URL", connectionsAtOnce), engine.ErrStateAway
	case "53100":
		return e.Message, "make room on the server and run again: nothing that was stored before is harmed", ErrFull
	case "25006":
		return e.Message, "the server takes no writes: name the primary in the URL, or add target_session_attrs=read-write with all hosts", ErrServer
	case "57P01", "57P02", "57P03", "25P03":
		return e.Message, "the server was restarted or ended the connection: the next run settles what was begun", engine.ErrStateAway
	case "42P01", "42703":
		return e.Message, "somebody changed the tables in schema " + pgSchema + ": restore them from a backup", ErrDamaged
	case "XX000", "XX001", "XX002":
		return e.Message, "see the server's log; restore the database from a backup", ErrDamaged
	}
	return "", "", nil
}

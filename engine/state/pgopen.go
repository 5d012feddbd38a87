package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/fieldsync/fieldsync/connectors"
)

const (
	// pgSchema is where the tables are: others may use the same database.
	pgSchema = "fieldsync"
	// migrating is the advisory lock of who brings the schema up to date: "fsyn", as in a file's header.
	migrating = applicationID

	connectionsAtOnce = 8
	// patience is how long one transaction may take, and the reading of one page. A server that is not there any more
	// would keep its callers for ever otherwise.
	patience = 20 * time.Second
	// idleMost ends a transaction whose node stands still in the midst of it, sooner than its lease runs out: nobody
	// could take the lease while the transaction holds the row.
	idleMost = "5000"
)

// IsURL reports whether a state is kept by a PostgreSQL server.
func IsURL(path string) bool {
	return strings.HasPrefix(path, "postgres://") || strings.HasPrefix(path, "postgresql://")
}

// Name is a path or URL that people may see: without a password.
func Name(path string) string {
	if !IsURL(path) {
		return path
	}
	u, err := url.Parse(path)
	if err != nil {
		return "the PostgreSQL URL"
	}
	return "postgres://" + u.Host + u.EscapedPath()
}

// Secrets are what nobody may see of a path or URL.
func Secrets(path string) []string {
	if !IsURL(path) {
		return nil
	}
	found := []string{path}
	if u, err := url.Parse(path); err == nil {
		if password, ok := u.User.Password(); ok {
			found = append(found, password)
		}
		for _, name := range []string{"password", "sslpassword"} {
			if password := u.Query().Get(name); password != "" {
				found = append(found, password)
			}
		}
	}
	return found
}

// A server is a state in a PostgreSQL database.
type server struct {
	name string
	pool *pgxpool.Pool
	none bool // for reading, and nothing was ever stored
}

func openPostgres(address, name string, o Options) (*server, error) {
	s := &server{name: name}
	config, err := poolConfig(address, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, s.fault("open state", err)
	}
	if err := s.prepare(config.ConnConfig, o.ReadOnly); err != nil {
		s.pool.Close()
		return nil, s.fault("open state", err)
	}
	return s, nil
}

func poolConfig(address string, readOnly bool) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		// The library's words may hold a part of the password.
		return nil, &connectors.Error{Op: "open state", Kind: errors.New("the state's PostgreSQL URL cannot be read"),
			Hint: "write postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with special characters of the password percent-encoded"}
	}
	if !strings.Contains(address, "pool_max_conns") {
		config.MaxConns = connectionsAtOnce
	}
	set := config.ConnConfig.RuntimeParams
	for name, value := range map[string]string{"search_path": pgSchema, "application_name": "fieldsync"} {
		if set[name] == "" {
			set[name] = value
		}
	}
	set["idle_in_transaction_session_timeout"] = idleMost
	// Everything that is read in pages has an index in its order. A server that has no statistics of a table yet, right
	// after a first contact, would sort the whole of it for each page; and no statement is worth planning again.
	set["enable_bitmapscan"], set["plan_cache_mode"] = "off", "force_generic_plan"
	if readOnly {
		set["default_transaction_read_only"] = "on"
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	config.PingTimeout = 5 * time.Second
	return config, nil
}

// Pool opens connections to the database of a state for who keeps tables of its own beside it.
func Pool(address string, most int32) (*pgxpool.Pool, error) {
	config, err := poolConfig(address, false)
	if err != nil {
		return nil, err
	}
	config.MaxConns = most
	return pgxpool.NewWithConfig(context.Background(), config)
}

// Alone has f change the tables of a database while other nodes that are about to do so wait.
func Alone(ctx context.Context, address string, f func() error) error {
	config, err := poolConfig(address, false)
	if err != nil {
		return err
	}
	lock, err := lockSchema(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	defer lock.Close(context.WithoutCancel(ctx))
	return f()
}

// lockSchema returns a connection that has the right to change tables until it is closed.
func lockSchema(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	lock, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := lock.Exec(ctx, "SELECT pg_advisory_lock($1)", migrating); err != nil {
		return nil, errors.Join(err, lock.Close(ctx))
	}
	return lock, nil
}

// prepare looks at what is there, and brings it up to date unless it is opened for reading.
func (s *server) prepare(config *pgx.ConnConfig, readOnly bool) error {
	have, err := s.schema()
	if err != nil {
		return err
	}
	latest := latestSchema(pgMigrations)
	switch {
	case have > latest:
		return newerSchema(s.name, have, latest)
	case have == latest:
		return nil
	case readOnly && have == 0:
		s.none = true
		return nil
	case readOnly:
		return olderSchema(have, latest)
	}
	return s.migrate(config)
}

// schema returns the newest migration that was applied; 0 before the first.
func (s *server) schema() (have int64, err error) {
	err = s.use(context.Background(), func(c *conn) error {
		has, err := c.number("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?", goose.DefaultTablename)
		if err != nil || has == 0 {
			return err
		}
		have, err = c.number("SELECT coalesce(max(version_id), 0) FROM " + goose.DefaultTablename + " WHERE is_applied")
		return err
	})
	return have, err
}

// migrate makes and updates the tables, while other nodes that start at the same time wait for it.
func (s *server) migrate(config *pgx.ConnConfig) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	config = config.Copy()
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	lock, err := lockSchema(ctx, config)
	if err != nil {
		return err
	}
	defer lock.Close(context.Background())
	var current *string
	if err := lock.QueryRow(ctx, "SELECT current_schema()").Scan(&current); err != nil {
		return err
	}
	if current == nil {
		path := pgx.Identifier{strings.TrimSpace(strings.Split(config.RuntimeParams["search_path"], ",")[0])}
		if _, err := lock.Exec(ctx, "CREATE SCHEMA "+path.Sanitize()); err != nil {
			return err
		}
	}
	sub, err := fs.Sub(migrations, pgMigrations)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, sub, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func (s *server) read(ctx context.Context, f func(*conn) error) error {
	if s.none {
		return ctx.Err()
	}
	return s.use(ctx, f)
}

// readAll has no patience, but who asks for it has.
func (s *server) readAll(ctx context.Context, f func(*conn) error) error {
	if s.none {
		return ctx.Err()
	}
	return s.pool.AcquireFunc(ctx, func(pc *pgxpool.Conn) error {
		c := &conn{&pgSession{ctx: ctx, c: pc.Conn(), tx: true}}
		// A reader may stand still without keeping anybody from the lease.
		for _, q := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SET LOCAL idle_in_transaction_session_timeout = 0"} {
			if err := c.exec(q); err != nil {
				return err
			}
		}
		if err := f(c); err != nil {
			return err
		}
		return errors.Join(c.exec("COMMIT"), c.settle())
	})
}

// use runs f on a connection, and once more when that turns out to be of a server that was restarted meanwhile.
func (s *server) use(ctx context.Context, f func(*conn) error) error {
	for try := 0; ; try++ {
		again, err := s.useOnce(ctx, f)
		if err == nil || !again || try > 0 {
			return err
		}
	}
}

func (s *server) useOnce(ctx context.Context, f func(*conn) error) (again bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
	defer cancel()
	pc, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, because(ctx, err)
	}
	defer pc.Release()
	err = f(&conn{&pgSession{ctx: ctx, c: pc.Conn()}})
	return err != nil && ctx.Err() == nil && pc.Conn().IsClosed(), because(ctx, err)
}

var errSlow = fmt.Errorf("the server took more than %s", patience)

// because prefers the reason for which a context ended.
func because(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return errors.Join(errSlow, err)
	}
	return err
}

func (s *server) transactAll(ctx context.Context, f func(*conn) error) error {
	_, err := s.transaction(ctx, f, "BEGIN", "SET LOCAL idle_in_transaction_session_timeout = 0")
	return err
}

// transact cannot tell what became of a transaction when the connection broke while its end was under way. Everything
// else that goes wrong undoes it.
func (s *server) transact(f func(*conn) error) (certain bool, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errSlow)
	defer cancel()
	certain, err = s.transaction(ctx, f, "BEGIN")
	return certain, because(ctx, err)
}

func (s *server) transaction(ctx context.Context, f func(*conn) error, begin ...string) (certain bool, err error) {
	pc, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer pc.Release() // a connection with an open transaction is closed by it
	session := &pgSession{ctx: ctx, c: pc.Conn(), tx: true}
	c := &conn{session}
	for _, q := range begin {
		if err = c.exec(q); err != nil {
			break
		}
	}
	if err == nil {
		err = f(c)
	}
	certain = true
	if err == nil {
		if err = c.exec("COMMIT"); err == nil {
			err = c.settle()
		}
		_, answered := errors.AsType[*pgconn.PgError](err)
		certain = answered && !pc.Conn().IsClosed()
	}
	if err != nil && !pc.Conn().IsClosed() && pc.Conn().PgConn().TxStatus() != 'I' {
		err = errors.Join(err, c.exec("ROLLBACK"), c.settle())
	}
	return certain, err
}

// lane keeps the writes of each sync apart: those of one would wait for its lease anyway.
func (s *server) lane(sync string) string { return sync }

func (s *server) close() error {
	s.pool.Close()
	return nil
}

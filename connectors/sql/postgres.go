package sql

import (
	"context"
	dsql "database/sql"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/fieldsync/fieldsync/connectors"
)

// postgres is the dialect of PostgreSQL. Every value travels as text in the server's own form, so that none is
// rounded or read into by a driver on the way.
type postgres struct {
	env    connectors.Env
	config *pgx.ConnConfig
	secret []string
}

func openPostgres(dsn string, env connectors.Env) (dialect, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil || dsn == "" {
		return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + env.Name, Detail: "dsn cannot be read", // the library's words may show a password
			Hint: `write dsn = "postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full", or "host=… user=… dbname=…"`}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "fieldsync"
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // no statement is kept on the server, where a pooler may stand between
	_, secrets := veilPostgres(dsn)
	return &postgres{env: env, config: config, secret: secrets}, nil
}

// veilPostgres is a dsn without its password, and what must not be shown of it.
func veilPostgres(dsn string) (string, []string) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", []string{dsn}
	}
	shown := fmt.Sprintf("postgres://%s@%s:%d/%s", config.User, config.Host, config.Port, config.Database)
	var secrets []string
	for _, form := range []string{config.Password, url.QueryEscape(config.Password), url.PathEscape(config.Password)} {
		if form != "" {
			secrets = append(secrets, form)
		}
	}
	if config.Password != "" && strings.Contains(dsn, config.Password) {
		secrets = append(secrets, dsn)
	}
	return shown, secrets
}

func (d *postgres) place() string {
	return fmt.Sprintf("database %s on %s", d.config.Database, d.config.Host)
}

func (d *postgres) open(ctx context.Context) (read, write *dsql.DB, err error) {
	read, write = d.pool("on"), d.pool("off")
	if err := read.PingContext(ctx); err != nil {
		return nil, nil, errors.Join(d.fail("open "+d.env.Name, err, nil), read.Close(), write.Close())
	}
	return read, write, nil
}

// pool makes a pool whose sessions write and read stamps in UTC, and do not wait for ever for a lock. A process that is
// stopped in the midst of a write keeps its lock on the record for 5 s at most: another may be to go on.
func (d *postgres) pool(readOnly string) *dsql.DB {
	settings := "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 1; SET client_encoding = 'UTF8'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '5s'; SET default_transaction_read_only = " + readOnly
	return stdlib.OpenDB(*d.config.Copy(), stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, settings).ReadAll()
		return err
	}))
}

func (d *postgres) writers(limit int) int {
	if limit > 0 {
		return limit
	}
	return 4
}

func (d *postgres) about(ctx context.Context, c *connection) ([]connectors.Finding, error) {
	var version, user string
	var sees, standby bool
	err := c.read.QueryRowContext(ctx, "SELECT current_setting('server_version'), current_user::text, pg_has_role('pg_read_all_stats', 'USAGE'), pg_is_in_recovery()").Scan(&version, &user, &sees, &standby)
	if err != nil {
		return nil, err
	}
	found := []connectors.Finding{{OK: true, What: "database", Detail: fmt.Sprintf("%s, PostgreSQL %s", d.place(), version)}, {OK: true, What: "log-in", Detail: user}}
	if standby {
		found = append(found, connectors.Finding{What: "rights", Detail: "the server is a standby: it can be read and not written", Hint: "name the primary server in dsn, or only sync away from this one"})
	}
	if !sees {
		found = append(found, connectors.Finding{OK: true, What: "rights", Detail: "transactions of other users cannot be seen: commit_delay has to be longer than the longest of them; or GRANT pg_read_all_stats TO " + d.quote(user)})
	}
	_, _, clock, err := d.clock(ctx, c)
	if err != nil {
		return nil, err
	}
	return append(found, offset(clock)), nil
}

// offset tells of the difference between the clocks.
func offset(c connectors.Clock) connectors.Finding {
	return connectors.Finding{OK: true, What: "clock", Detail: fmt.Sprintf("the server's is %v ahead of ours, give or take %v", c.Offset.Round(time.Millisecond), c.Error.Round(time.Millisecond))}
}

func (d *postgres) rights(ctx context.Context, t *collection) ([]connectors.Finding, error) {
	var may, mayNot []string
	for _, r := range []struct {
		right, does string
		on          relation
	}{{"SELECT", "read " + t.rel.name, t.rel}, {"INSERT", "insert into " + t.into.name, t.into}, {"UPDATE", "update it", t.into}, {"DELETE", "delete from it", t.into}} {
		if t.into.view && r.right != "SELECT" {
			continue
		}
		query := "SELECT has_any_column_privilege($1::oid, $2)"
		if r.right == "DELETE" {
			query = "SELECT has_table_privilege($1::oid, $2)"
		}
		var ok bool
		if err := t.conn.read.QueryRowContext(ctx, query, strconv.FormatInt(r.on.id, 10), r.right).Scan(&ok); err != nil {
			return nil, err
		}
		if ok {
			may = append(may, r.does)
		} else {
			mayNot = append(mayNot, r.does)
		}
	}
	return []connectors.Finding{allowed(t, may, mayNot)}, nil
}

// allowed is the finding about rights. What is only read needs no more than that, so only reading has to be allowed.
func allowed(t *collection, may, mayNot []string) connectors.Finding {
	f := connectors.Finding{OK: true, What: "rights", Detail: t.name + ": may " + strings.Join(may, ", ")}
	if len(may) == 0 {
		f = connectors.Finding{What: "rights", Detail: t.name, Hint: "grant the user SELECT, and INSERT, UPDATE and DELETE as far as the syncs create, change and delete"}
	}
	if len(mayNot) > 0 {
		f.Detail += "; may not " + strings.Join(mayNot, ", ")
	}
	return f
}

func (d *postgres) relations(ctx context.Context, c *connection, names []string) ([]relation, error) {
	called, args := calledOne(d, "c.relname", names)
	var list []relation
	err := c.each(ctx, func(v []any) error {
		r := relation{schema: say(v[0]), local: say(v[1]), view: say(v[2]) == "true", name: say(v[1])}
		if say(v[4]) != "true" {
			r.name = r.schema + "." + r.local
		}
		var err error
		r.id, err = whole(v[3])
		list = append(list, r)
		return err
	}, `SELECT n.nspname::text, c.relname::text, (c.relkind IN ('v', 'm'))::text, c.oid::int8, pg_table_is_visible(c.oid)::text
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'`+called+`
		ORDER BY 5 DESC, 1, 2`, args...)
	return list, err
}

func (d *postgres) uniques(ctx context.Context, c *connection, r relation) ([][]string, error) {
	var sets [][]string
	err := c.each(ctx, func(v []any) error {
		names, err := texts(say(v[0]))
		sets = append(sets, names)
		return err
	}, `SELECT (SELECT json_agg(a.attname) FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k)::text
		FROM pg_index AS i WHERE i.indrelid = $1::int8::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL`, strconv.FormatInt(r.id, 10))
	return sets, err
}

func (d *postgres) leads(ctx context.Context, c *connection, r relation, column string) (led bool, err error) {
	err = c.each(ctx, func([]any) error { led = true; return nil },
		`SELECT 1 FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = $1::int8::oid AND i.indisvalid AND i.indpred IS NULL AND a.attname::text = $2`, strconv.FormatInt(r.id, 10), column)
	return led, err
}

func (d *postgres) learn(_ context.Context, _ *connection, _ relation, col *column, purpose forms) error {
	return learnTyped(col, purpose)
}

func (d *postgres) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (d *postgres) mark(n int) string { return "$" + strconv.Itoa(n) }

func (d *postgres) shown(c *column) string {
	q := d.quote(c.name)
	t, _ := c.codec.(typed)
	switch t.class {
	case bytesOf:
		return "encode(" + q + ", 'hex')"
	case array:
		return "to_jsonb(" + q + ")::text"
	}
	return q + "::text"
}

// sought compares what has an order or an equality of its own as it is, so that indexes serve, and the rest by its text.
func (d *postgres) sought(c *column) string {
	if t, _ := c.codec.(typed); t.class == opaque {
		return d.quote(c.name) + "::text"
	}
	return d.quote(c.name)
}

func (d *postgres) compareRows() bool { return true }
func (d *postgres) lock() string      { return " FOR UPDATE" }
func (d *postgres) prepares() bool    { return false }
func (d *postgres) noValues() string  { return "DEFAULT VALUES" }

func (d *postgres) alive(c *column) string       { return aliveTyped(d, c) }
func (d *postgres) dead(c *column, raw any) bool { return deadTyped(c, raw) }

func (d *postgres) since(s *statement, c *column, at time.Time) string {
	return sinceTyped(d, s, c, at)
}

func (d *postgres) narrow(ctx context.Context, t *collection, at time.Time) (func(*statement) string, error) {
	return narrowTyped(ctx, t, at)
}

// clock also asks for the oldest transaction that runs. Its changes carry the stamp of its start, and become
// visible when it ends, however long that takes; of other users it is seen by members of pg_read_all_stats alone.
func (d *postgres) clock(ctx context.Context, c *connection) (now, oldest time.Time, cl connectors.Clock, err error) {
	sent := d.ours()
	var began *float64
	var theirs float64
	err = c.read.QueryRowContext(ctx, `SELECT extract(epoch FROM clock_timestamp())::float8, (SELECT extract(epoch FROM min(xact_start))::float8 FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')`).Scan(&theirs, &began)
	if err != nil {
		return now, oldest, cl, err
	}
	now = time.UnixMicro(int64(theirs * 1e6)).UTC()
	if began != nil {
		oldest = time.UnixMicro(int64(*began * 1e6)).UTC()
	}
	return now, oldest, measured(sent, d.ours(), now), nil
}

func (d *postgres) ours() time.Time {
	if d.env.Now == nil {
		return time.Now()
	}
	return d.env.Now()
}

// measured compares a time that was read between two of ours.
func measured(sent, back, theirs time.Time) connectors.Clock {
	half := back.Sub(sent) / 2
	return connectors.Clock{Measured: true, Offset: theirs.Sub(sent.Add(half)), Error: half + time.Millisecond}
}

func (d *postgres) fill(ctx context.Context, tx *dsql.Tx, c *column, _ any) (any, error) {
	var theirs float64
	if err := tx.QueryRowContext(ctx, "SELECT extract(epoch FROM clock_timestamp())::float8").Scan(&theirs); err != nil {
		return nil, err
	}
	return fillTyped(c, time.UnixMicro(int64(theirs*1e6)))
}

func (d *postgres) stampAt(c *column, at time.Time) (any, error) { return fillTyped(c, at) }

func (d *postgres) insert(ctx context.Context, tx *dsql.Tx, r relation, columns []*column, args []any, give []*column) ([]any, error) {
	return insertReturning(ctx, d, tx, r, columns, args, give)
}

// A CHECK that lists the values of one column, as PostgreSQL writes it back, and the values in it.
var (
	listCheck = regexp.MustCompile(`^CHECK \(+"?[^"()]+"?\)?(?:::[a-z ]+)? = ANY \(+ARRAY\[([^\]]*)\][)a-z:\[\] ]*$`)
	listItem  = regexp.MustCompile(`'((?:[^']|'')*)'|(-?[0-9.]+)`)
)

// listed is the values that a constraint allows; nil where it is of another sort.
func listed(check *regexp.Regexp, definition string) []string {
	m := check.FindStringSubmatch(definition)
	if m == nil {
		return nil
	}
	var values []string
	for _, item := range listItem.FindAllStringSubmatch(m[len(m)-1], -1) {
		if item[2] != "" {
			values = append(values, item[2])
		} else {
			values = append(values, strings.ReplaceAll(item[1], "''", "'"))
		}
	}
	return values
}

func (d *postgres) piece(c *column, at, n int) string {
	q := d.quote(c.name)
	if t, _ := c.codec.(typed); t.class != bytesOf {
		q = "convert_to(" + q + "::text, 'UTF8')"
	}
	return fmt.Sprintf("substring(coalesce(%s, ''::bytea) FROM %d FOR %d)", q, at+1, n)
}

package sql

import (
	"context"
	dsql "database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/fieldsync/fieldsync/connectors"
)

// mySQL is the dialect of MySQL and MariaDB.
type mySQL struct {
	env    connectors.Env
	config *mysql.Config
	secret []string
	maria  bool // known once the database is open
}

func openMySQL(dsn string, env connectors.Env) (dialect, error) {
	config, err := mysql.ParseDSN(dsn)
	wrong := func(detail string) error {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: "open " + env.Name, Detail: detail, Hint: `write dsn = "USER:PASSWORD@tcp(HOST:3306)/DATABASE?tls=true"`}
	}
	if err != nil {
		return nil, wrong("dsn cannot be read") // the library's words may show a password
	}
	if config.DBName == "" {
		return nil, wrong("dsn names no database")
	}
	// Rows that are found count, not rows that change; values are read here and not by the driver.
	config.ClientFoundRows, config.ParseTime, config.InterpolateParams, config.MultiStatements, config.AllowAllFiles = true, false, false, false, false
	config.Logger = &mysql.NopLogger{}
	if config.Timeout == 0 {
		config.Timeout = 10 * time.Second
	}
	if err := config.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, wrong(err.Error())
	}
	_, secrets := veilMySQL(dsn)
	return &mySQL{env: env, config: config, secret: secrets}, nil
}

// veilMySQL is a dsn without its password, and what must not be shown of it.
func veilMySQL(dsn string) (string, []string) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", []string{dsn}
	}
	shown := fmt.Sprintf("mysql://%s@%s(%s)/%s", config.User, config.Net, config.Addr, config.DBName)
	if config.Passwd == "" {
		return shown, nil
	}
	return shown, []string{config.Passwd, dsn}
}

func (d *mySQL) place() string {
	return fmt.Sprintf("database %s on %s", d.config.DBName, d.config.Addr)
}

func (d *mySQL) open(ctx context.Context) (read, write *dsql.DB, err error) {
	op := "open " + d.env.Name
	// A value that does not fit is refused and never cut, whatever the server's default is.
	strict := "SET SESSION sql_mode = CONCAT(REPLACE(@@sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', ''), ',STRICT_ALL_TABLES'), time_zone = '+00:00', innodb_lock_wait_timeout = 10"
	connector, err := mysql.NewConnector(d.config)
	if err != nil {
		return nil, nil, d.fail(op, err, nil)
	}
	read = dsql.OpenDB(session{connector, []string{strict, "SET SESSION TRANSACTION READ ONLY"}})
	write = dsql.OpenDB(session{connector, []string{strict}})
	var version string
	if err := read.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return nil, nil, errors.Join(d.fail(op, err, nil), read.Close(), write.Close())
	}
	d.maria = strings.Contains(version, "MariaDB")
	return read, write, nil
}

// A session is a connector that tells each connection how to behave.
type session struct {
	driver.Connector
	settings []string
}

func (s session) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, set := range s.settings {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, set, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

func (d *mySQL) writers(limit int) int {
	if limit > 0 {
		return limit
	}
	return 4
}

func (d *mySQL) about(ctx context.Context, c *connection) ([]connectors.Finding, error) {
	var version, user string
	var readOnly bool
	if err := c.read.QueryRowContext(ctx, "SELECT VERSION(), CURRENT_USER(), @@global.read_only").Scan(&version, &user, &readOnly); err != nil {
		return nil, err
	}
	kind := "MySQL "
	if d.maria {
		kind = ""
	}
	found := []connectors.Finding{{OK: true, What: "database", Detail: fmt.Sprintf("%s, %s%s", d.place(), kind, version)}, {OK: true, What: "log-in", Detail: user}}
	if readOnly {
		found = append(found, connectors.Finding{What: "rights", Detail: "the server is read-only", Hint: "name the primary server in dsn, or only sync away from this one"})
	}
	_, _, clock, err := d.clock(ctx, c)
	if err != nil {
		return nil, err
	}
	return append(found, offset(clock)), nil
}

// rights are asked for by having statements explained and not carried out: that needs the same rights.
func (d *mySQL) rights(ctx context.Context, t *collection) ([]connectors.Finding, error) {
	var may, mayNot []string
	into, key := from(d, t.into), d.quote(t.columns[t.key[0]].name)
	for _, r := range []struct{ does, query string }{
		{"read " + t.rel.name, "EXPLAIN SELECT 1 FROM " + from(d, t.rel) + " WHERE 1 = 0"},
		{"insert into " + t.into.name, "EXPLAIN INSERT INTO " + into + " (" + key + ") VALUES (NULL)"},
		{"update it", "EXPLAIN UPDATE " + into + " SET " + key + " = " + key + " WHERE 1 = 0"},
		{"delete from it", "EXPLAIN DELETE FROM " + into + " WHERE 1 = 0"},
	} {
		if t.into.view && r.does != "read "+t.rel.name {
			continue
		}
		rows, err := t.conn.write.QueryContext(ctx, r.query)
		if err == nil {
			err = errors.Join(rows.Err(), rows.Close())
		}
		if errors.Is(d.fail("", err, nil), connectors.ErrDenied) {
			mayNot = append(mayNot, r.does)
		} else if err != nil {
			return nil, err
		} else {
			may = append(may, r.does)
		}
	}
	return []connectors.Finding{allowed(t, may, mayNot)}, nil
}

func (d *mySQL) relations(ctx context.Context, c *connection, names []string) ([]relation, error) {
	called, args := calledOne(d, "TABLE_NAME", names)
	var list []relation
	err := c.each(ctx, func(v []any) error {
		r := relation{schema: say(v[0]), local: say(v[1]), view: say(v[2]) == "VIEW", name: say(v[1])}
		if r.schema != d.config.DBName {
			r.name = r.schema + "." + r.local
		}
		list = append(list, r)
		return nil
	}, `SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES
		WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') AND TABLE_TYPE <> 'SEQUENCE'`+called+`
		ORDER BY TABLE_SCHEMA <> DATABASE(), TABLE_SCHEMA, TABLE_NAME`, args...)
	return list, err
}

func (d *mySQL) uniques(ctx context.Context, c *connection, r relation) ([][]string, error) {
	var sets [][]string
	last := ""
	err := c.each(ctx, func(v []any) error {
		if index := say(v[0]); index != last || sets == nil {
			sets, last = append(sets, nil), index
		}
		name := say(v[1])
		if v[2] != nil {
			name = "" // the start of a column is unique, which says more; yet no column is called so
		}
		sets[len(sets)-1] = append(sets[len(sets)-1], name)
		return nil
	}, "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX", r.schema, r.local)
	return sets, err
}

func (d *mySQL) leads(ctx context.Context, c *connection, r relation, column string) (led bool, err error) {
	err = c.each(ctx, func([]any) error { led = true; return nil },
		"SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND SEQ_IN_INDEX = 1 AND COLUMN_NAME = ?", r.schema, r.local, column)
	return led, err
}

func (d *mySQL) learn(_ context.Context, _ *connection, _ relation, col *column, purpose forms) error {
	return learnTyped(col, purpose)
}

func (d *mySQL) quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
func (d *mySQL) mark(int) string          { return "?" }

func (d *mySQL) shown(c *column) string {
	if strings.HasPrefix(c.native, "bit") {
		return d.quote(c.name) + " + 0"
	}
	return d.quote(c.name)
}

func (d *mySQL) sought(c *column) string { return d.quote(c.name) }

// compareRows is no: MySQL does not walk an index for it.
func (d *mySQL) compareRows() bool { return false }
func (d *mySQL) lock() string      { return " FOR UPDATE" }

// prepares is yes: an unprepared query delivers FLOAT with six digits.
func (d *mySQL) prepares() bool   { return true }
func (d *mySQL) noValues() string { return "() VALUES ()" }

func (d *mySQL) alive(c *column) string       { return aliveTyped(d, c) }
func (d *mySQL) dead(c *column, raw any) bool { return deadTyped(c, raw) }

func (d *mySQL) since(s *statement, c *column, at time.Time) string { return sinceTyped(d, s, c, at) }

func (d *mySQL) narrow(ctx context.Context, t *collection, at time.Time) (func(*statement) string, error) {
	return narrowTyped(ctx, t, at)
}

const utcNow = "SELECT UTC_TIMESTAMP(6)"

// clock cannot say which transactions run: that takes a right over the whole server. The commit delay stands for them.
func (d *mySQL) clock(ctx context.Context, c *connection) (now, oldest time.Time, cl connectors.Clock, err error) {
	ours := d.env.Now
	if ours == nil {
		ours = time.Now
	}
	sent := ours()
	var text string
	if err = c.read.QueryRowContext(ctx, utcNow).Scan(&text); err == nil {
		now, err = time.Parse(time.DateTime, text)
	}
	return now, oldest, measured(sent, ours(), now), err
}

func (d *mySQL) fill(ctx context.Context, tx *dsql.Tx, c *column, _ any) (any, error) {
	var text string
	if err := tx.QueryRowContext(ctx, utcNow).Scan(&text); err != nil {
		return nil, err
	}
	now, err := time.Parse(time.DateTime, text)
	if err != nil {
		return nil, err
	}
	return fillTyped(c, now)
}

func (d *mySQL) stampAt(c *column, at time.Time) (any, error) { return fillTyped(c, at) }

// insert knows three ways to a new row's key: what was written, the number that was given, and, of MariaDB, asking.
func (d *mySQL) insert(ctx context.Context, tx *dsql.Tx, r relation, columns []*column, args []any, give []*column) ([]any, error) {
	raw := make([]any, len(give))
	counted, missing := -1, false
	for i, g := range give {
		missing = missing || g.hasValue && !g.counted
		if g.counted {
			counted = i
		}
		for j, c := range columns {
			if c.name == g.name {
				raw[i] = args[j]
			}
		}
		if raw[i] != nil && counted == i {
			counted = -1
		}
		if raw[i] != nil && g.hasValue {
			missing = false
		}
	}
	if missing {
		if !d.maria {
			return nil, &connectors.Error{Kind: connectors.ErrConfig, Op: "insert into " + r.name, Detail: "MySQL does not tell the key that a default gave a new row", Hint: "number the key (AUTO_INCREMENT), or use MariaDB"}
		}
		return insertReturning(ctx, d, tx, r, columns, args, give)
	}
	s := insertion(d, r, columns, args)
	res, err := tx.ExecContext(ctx, s.text.String(), s.args...)
	if err == nil && counted >= 0 {
		raw[counted], err = res.LastInsertId()
	}
	return raw, err
}

func (d *mySQL) piece(c *column, at, n int) string {
	return fmt.Sprintf("substring(CAST(coalesce(%s, '') AS BINARY), %d, %d)", d.quote(c.name), at+1, n)
}

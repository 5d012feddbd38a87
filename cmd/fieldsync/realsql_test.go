package main

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors/sql/sqltest"
)

// tables are the help desk's own tables on a real server.
type tables struct {
	*sql.DB
	driver, dsn string
}

const (
	postgresDesk = `
		CREATE TABLE tickets (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title varchar(160) NOT NULL, body text, priority smallint, incident varchar(40), ref varchar(40),
			status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'open', 'waiting', 'resolved', 'closed')), changed timestamptz NOT NULL DEFAULT now());
		CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ticket int NOT NULL REFERENCES tickets ON DELETE CASCADE, body text NOT NULL, who varchar(40) NOT NULL, at timestamptz NOT NULL DEFAULT now());
		CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed = clock_timestamp(); RETURN NEW; END $$;
		CREATE TRIGGER touch BEFORE UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION touch()`
	mariadbDesk = `
		CREATE TABLE tickets (id INT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(160) NOT NULL, body TEXT, priority SMALLINT, incident VARCHAR(40), ref VARCHAR(40) COLLATE utf8mb4_bin,
			status ENUM('new', 'open', 'waiting', 'resolved', 'closed') NOT NULL DEFAULT 'new', changed TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, KEY (changed));
		CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, ticket INT NOT NULL REFERENCES tickets (id) ON DELETE CASCADE, body TEXT NOT NULL, who VARCHAR(40) NOT NULL, at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)`
)

func openPostgres(t *testing.T) ticketing {
	dsn := sqltest.Postgres(t)
	return (&tables{driver: "postgres", dsn: dsn}).open(t, "pgx", dsn, postgresDesk)
}

func openMariaDB(t *testing.T) ticketing {
	dsn := sqltest.MariaDB(t)
	return (&tables{driver: "mysql", dsn: dsn}).open(t, "mysql", dsn+"?multiStatements=true&charset=utf8mb4", mariadbDesk)
}

func (d *tables) open(t *testing.T, library, dsn, schema string) ticketing {
	var err error
	if d.DB, err = sql.Open(library, dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	d.do(t, schema)
	return d
}

// do runs a statement, with ? for its arguments on either server.
func (d *tables) do(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := d.ExecContext(t.Context(), d.marks(query), args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (d *tables) marks(query string) string {
	if d.driver != "postgres" {
		return query
	}
	for i := 1; strings.Contains(query, "?"); i++ {
		query = strings.Replace(query, "?", fmt.Sprintf("$%d", i), 1)
	}
	return query
}

var tablesTerms = terms{
	collection: "tickets", marker: "ref", title: "title", text: "body", state: "status", priority: "priority", number: "incident", comments: "notes", notes: "work_notes",
	states:     [][2]string{{"new", "1"}, {"open", "2"}, {"waiting", "3"}, {"resolved", "6"}, {"closed", "7"}},
	toIncident: `[['1', '1'], ['1', '2'], ['2', '2'], ['2', '3'], ['3', '3']][ticket.priority - 1]`,
	toTicket:   `int(incident.impact) + int(incident.urgency) - 1`,
}

func (d *tables) mapping() (string, terms) {
	return `
connection "sql" "desk" {
  driver = "` + d.driver + `"
  dsn    = env("DESK_DSN")
  collection "tickets" {
    modified = "changed"
    comments "notes" {
      table  = "notes"
      parent = "ticket"
      text   = "body"
      author = "who"
      time   = "at"
    }
  }
}`, tablesTerms
}

func (d *tables) env() []string { return []string{"DESK_DSN=" + d.dsn} }

// count asks the server for what it has done for this database, or, where it does not tell, for all.
func (d *tables) count(x *trial) (string, func() int64) {
	query, what := "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()", "transactions of PostgreSQL"
	if d.driver == "mysql" {
		query, what = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'QUESTIONS'", "statements of MariaDB"
	}
	return what, func() (n int64) {
		if err := d.QueryRowContext(x.Context(), query).Scan(&n); err != nil {
			x.Fatal(err)
		}
		return n
	}
}

func (d *tables) add(t *testing.T, list []ticket) (ids []string) {
	for _, k := range list {
		var id string
		if err := d.QueryRowContext(t.Context(), d.marks("INSERT INTO tickets (title, body, status, priority) VALUES (?, ?, ?, ?) RETURNING id"), k.title, k.text, statusOf(k.state), k.priority).Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func statusOf(state string) string {
	for _, s := range tablesTerms.states {
		if s[1] == state {
			return s[0]
		}
	}
	return ""
}

func (d *tables) edit(t *testing.T, id string, k ticket) {
	for column, v := range map[string]string{"title": k.title, "body": k.text, "status": statusOf(k.state), "priority": k.priority} {
		if v != "" {
			d.do(t, "UPDATE tickets SET "+column+" = ? WHERE id = ?", v, id)
		}
	}
}

func (d *tables) comment(t *testing.T, id, text string) {
	d.do(t, "INSERT INTO notes (ticket, body, who) VALUES (?, ?, 'ann')", id, text)
}

func (d *tables) remove(t *testing.T, id string) { d.do(t, "DELETE FROM tickets WHERE id = ?", id) }

func (d *tables) all(t *testing.T) map[string]ticket {
	comments := pairsOf(t, d.DB, "SELECT ticket, body FROM notes")
	rows, err := d.QueryContext(t.Context(), "SELECT id, title, body, status, priority, coalesce(incident, '') FROM tickets")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]ticket{}
	for rows.Next() {
		var id, status string
		var k ticket
		if err := rows.Scan(&id, &k.title, &k.text, &status, &k.priority, &k.number); err != nil {
			t.Fatal(err)
		}
		for _, s := range tablesTerms.states {
			if s[0] == status {
				k.state = s[1]
			}
		}
		k.comments = comments[id]
		all[id] = k
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

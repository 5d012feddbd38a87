package sql

import (
	"errors"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fieldsync/fieldsync/connectors"
)

var keyInDetail = regexp.MustCompile(`^Key \((.+?)\)=\(`)

func (d *postgres) fail(op string, err error, t *collection) error {
	if err := told(op, err); err != nil {
		return err
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return broken(op, d.place(), errors.New(conceal(err.Error(), d.secret)))
	}
	out := &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: conceal(e.Message, d.secret), Err: &pgconn.PgError{Code: e.Code, Message: conceal(e.Message, d.secret)}}
	if e.ColumnName != "" {
		out.Fields = []string{e.ColumnName}
	} else if m := keyInDetail.FindStringSubmatch(e.Detail); m != nil {
		out.Fields = strings.Split(strings.ReplaceAll(m[1], `"`, ""), ", ")
	} else if e.ConstraintName != "" {
		out.Fields = mentioned(t, e.ConstraintName)
	}
	class := e.Code[:min(2, len(e.Code))]
	switch {
	case e.Code == "23505":
		out.Kind, out.Hint = connectors.ErrRefused, "another record has this value already"
	case e.Code == "23502":
		out.Kind, out.Hint = connectors.ErrRefused, "a rule has to write a value there"
	case e.Code == "23503":
		out.Kind, out.Hint = connectors.ErrRefused, "the record it points to does not exist, or others point to this one"
	case e.Code == "23514":
		out.Kind, out.Hint = connectors.ErrRefused, "a constraint of the table does not allow this value"
	case e.Code == "22001":
		out.Kind, out.Hint = connectors.ErrRefused, "shorten the value in a rule"
	case e.Code == "40001" || e.Code == "40P01":
		out.Kind, out.Hint = connectors.ErrBusy, "another program changed the same rows; it is tried again"
	case e.Code == "55P03":
		out.Kind, out.Hint = connectors.ErrBusy, "another program holds the row; it is tried again"
	case e.Code == "57014":
		out.Kind, out.Hint = connectors.ErrBusy, "the server stopped the statement: raise its statement_timeout, or ask for less"
	case class == "53":
		out.Kind, out.Hint = connectors.ErrBusy, "the server has no room or no connections left"
	case class == "28":
		out.Kind, out.Hint = connectors.ErrAuth, "check user and password in dsn, and pg_hba.conf of the server"
	case e.Code == "3D000":
		out.Kind, out.Hint = connectors.ErrConfig, "check the name of the database in dsn"
	case e.Code == "42501":
		out.Kind, out.Hint = connectors.ErrDenied, "grant the user the right: SELECT to read, INSERT to create, UPDATE to change, DELETE to delete, and USAGE of the sequence"
	case e.Code == "25006":
		out.Kind, out.Hint = connectors.ErrDenied, "the server or the user's transactions are read-only"
	case class == "57", class == "08":
		out.Kind, out.Hint = connectors.ErrOffline, "the server goes down or comes up; it is tried again"
	case class == "22" || class == "23" || class == "P0" || class == "44":
		out.Kind = connectors.ErrRefused
	case class == "42":
		out.Kind = connectors.ErrConfig
	}
	return out
}

// lost is everything that is no answer of the server, and the answer that it goes down.
func (d *postgres) lost(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || strings.HasPrefix(e.Code, "57") || strings.HasPrefix(e.Code, "08")
}

// conceal takes secrets out of what a server or a driver says.
func conceal(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "(sensitive)")
	}
	return text
}

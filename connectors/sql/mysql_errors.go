package sql

import (
	"errors"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/fieldsync/fieldsync/connectors"
)

var (
	columnNamed = regexp.MustCompile("(?:[Cc]olumn|Field) '([^']+)'|column [`\"]?(?:[^`'. ]+`?\\.`?)*([^`'. ]+)`")
	indexNamed  = regexp.MustCompile("for key '(?:[^'.]*\\.)?([^']+)'|CONSTRAINT [`'](?:[^`']*\\.)?([^`']+)[`']|[Cc]heck constraint '([^']+)'")
)

func (d *mySQL) fail(op string, err error, t *collection) error {
	if err == nil {
		return nil
	}
	if err := told(op, err); err != nil {
		return err
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return broken(op, d.place(), errors.New(conceal(err.Error(), d.secret)))
	}
	message := conceal(e.Message, d.secret)
	out := &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: message, Err: &mysql.MySQLError{Number: e.Number, SQLState: e.SQLState, Message: message}}
	if m := columnNamed.FindStringSubmatch(message); m != nil {
		out.Fields = []string{m[1] + m[2]}
	} else if m := indexNamed.FindStringSubmatch(message); m != nil {
		out.Fields = mentioned(t, m[1]+m[2]+m[3])
		if t != nil && m[1] == "PRIMARY" {
			for _, c := range t.keyColumns() {
				out.Fields = append(out.Fields, c.name)
			}
		}
	}
	switch e.Number {
	case 1062, 1586:
		out.Kind, out.Hint = connectors.ErrRefused, "another record has this value already"
	case 1048, 1364:
		out.Kind, out.Hint = connectors.ErrRefused, "a rule has to write a value there"
	case 1216, 1217, 1451, 1452:
		out.Kind, out.Hint = connectors.ErrRefused, "the record it points to does not exist, or others point to this one"
	case 3819, 4025:
		out.Kind, out.Hint = connectors.ErrRefused, "a constraint of the table does not allow this value"
	case 1406:
		out.Kind, out.Hint = connectors.ErrRefused, "shorten the value in a rule"
	case 3988:
		out.Kind, out.Hint = connectors.ErrRefused, "the column's character set has no such letters"
	case 1264, 1265, 1292, 1366, 1367, 1411, 1644, 1690, 3140, 4078:
		out.Kind = connectors.ErrRefused
	case 1213, 1020:
		out.Kind, out.Hint = connectors.ErrBusy, "another program changed the same rows; it is tried again"
	case 1205, 3572:
		out.Kind, out.Hint = connectors.ErrBusy, "another program holds the row; it is tried again"
	case 1040, 1203, 1226:
		out.Kind, out.Hint = connectors.ErrBusy, "the server has no connections left"
	case 1317, 1969, 3024:
		out.Kind, out.Hint = connectors.ErrBusy, "the server stopped the statement; ask for less, or let it take longer"
	case 1045, 1698, 1862, 4151:
		out.Kind, out.Hint = connectors.ErrAuth, "check user and password in dsn, and from where the server lets this user in"
	case 1049:
		out.Kind, out.Hint = connectors.ErrConfig, "check the name of the database in dsn"
	case 1044, 1142, 1143, 1227, 1370:
		out.Kind, out.Hint = connectors.ErrDenied, "grant the user the right: SELECT to read, INSERT to create, UPDATE to change, DELETE to delete"
	case 1290, 1792, 1836:
		out.Kind, out.Hint = connectors.ErrDenied, "the server or the user's transactions are read-only"
	case 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1927:
		out.Kind, out.Hint = connectors.ErrOffline, "the server goes down or comes up; it is tried again"
	case 1054, 1064, 1109, 1146, 1305, 1356:
		out.Kind = connectors.ErrConfig
	default:
		if state := string(e.SQLState[:]); strings.HasPrefix(state, "22") || strings.HasPrefix(state, "23") || strings.HasPrefix(state, "45") {
			out.Kind = connectors.ErrRefused
		}
	}
	return out
}

// lost is everything that is no answer of the server, and the answer that it goes down.
func (d *mySQL) lost(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return !ok || e.Number == 1053 || e.Number == 1927
}

package sql

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/fieldsync/fieldsync/engine/record"
)

func (d *mySQL) columns(ctx context.Context, c *connection, r relation) ([]column, error) {
	var list []column
	err := c.each(ctx, func(v []any) error {
		col := column{name: say(v[0]), native: say(v[1]), notNull: say(v[3]) == "NO"}
		// MariaDB spells a default of null out.
		col.hasValue = v[4] != nil && say(v[4]) != "NULL"
		switch extra := strings.ToLower(say(v[5])); {
		case say(v[10]) != "":
			col.fixed = "it is computed by the database"
		case strings.Contains(extra, "auto_increment"):
			col.hasValue, col.counted = true, true
		}
		n := func(i int) int {
			k, err := strconv.Atoi(say(v[i]))
			if err != nil {
				return 0
			}
			return k
		}
		col.primary = n(11)
		col.mysqlType(say(v[2]), n(6), n(7), n(8), n(9))
		list = append(list, col)
		return nil
	}, `SELECT c.COLUMN_NAME, c.COLUMN_TYPE, c.DATA_TYPE, c.IS_NULLABLE, c.COLUMN_DEFAULT, c.EXTRA, c.CHARACTER_MAXIMUM_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION,
			COALESCE(c.GENERATION_EXPRESSION, ''), s.SEQ_IN_INDEX
		FROM information_schema.COLUMNS AS c LEFT JOIN information_schema.STATISTICS AS s
			ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME AND s.INDEX_NAME = 'PRIMARY'
		WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION`, r.schema, r.local)
	if err != nil {
		return nil, err
	}
	checks, err := d.checks(ctx, c, r)
	for i := range list {
		for _, check := range checks {
			if m := mysqlCheck.FindStringSubmatch(check); m != nil && m[1] == list[i].name {
				list[i].choose(listed(mysqlCheck, check))
			}
			// MariaDB's JSON is long text with a check.
			if check == "json_valid(`"+list[i].name+"`)" {
				list[i].kind, list[i].codec = record.Type{}, typed{class: document, mysql: true}
			}
		}
	}
	return list, err
}

// mysqlCheck is a constraint that lists the values of one column.
var mysqlCheck = regexp.MustCompile("^\\(?`([^`]+)` in \\(([^()]*)\\)\\)?$")

// checks is the constraints of a table, as the server writes them back.
func (d *mySQL) checks(ctx context.Context, c *connection, r relation) ([]string, error) {
	query := "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?"
	if !d.maria {
		query = `SELECT k.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS AS k JOIN information_schema.TABLE_CONSTRAINTS AS t
			ON t.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = k.CONSTRAINT_NAME WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ? AND t.CONSTRAINT_TYPE = 'CHECK'`
	}
	var list []string
	err := c.each(ctx, func(v []any) error {
		// MySQL puts the character set before each text, and a backslash before each quote.
		list = append(list, strings.NewReplacer(`\'`, `'`, "_utf8mb4'", "'", "_utf8mb3'", "'", "_latin1'", "'").Replace(say(v[0])))
		return nil
	}, query, r.schema, r.local)
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok && e.Number == 1109 {
		return nil, nil // an old server, which reads CHECK and forgets it
	}
	return list, err
}

// mysqlType finds the kind of record for a type of MySQL.
func (c *column) mysqlType(data string, length, precision, scale, digits int) {
	k := typed{mysql: true}
	switch data {
	case "char", "varchar":
		k.class, k.kind.Kind = text, record.Text
		c.max = length
	case "text", "tinytext", "mediumtext", "longtext":
		k.class, k.kind.Kind = text, record.Text // their limit is in bytes
	case "enum":
		k.class, k.kind.Kind = text, record.Text
		k.allowed = listed(enumType, c.native)
		c.choices, c.closed = choicesOf(k.allowed), true
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year":
		k.class, k.kind.Kind = number, record.Int
		if c.native == "tinyint(1)" {
			k.class, k.kind.Kind = flag, record.Bool
		}
	case "bit":
		k.class, k.kind.Kind = number, record.Int
		if c.native == "bit(1)" {
			k.class, k.kind.Kind = flag, record.Bool
		}
	case "float", "double":
		k.class, k.kind.Kind = fraction, record.Float
	case "decimal":
		k.class, k.kind = decimal, decimals(precision, scale)
	case "datetime", "timestamp":
		k.class, k.kind.Kind, k.digits = instants, record.Time, digits
	case "date":
		k.class, k.kind = day, record.Type{Kind: record.Text, Layout: "2006-01-02"}
	case "json":
		k.class = document // of any kind
	case "uuid":
		k.class, k.kind.Kind = uuid, record.Text
	case "binary", "varbinary", "blob", "tinyblob", "mediumblob", "longblob", "geometry", "point", "linestring", "polygon":
		k.class, k.kind.Kind = bytesOf, record.Text
	default:
		k.class, k.kind.Kind = opaque, record.Text
	}
	c.kind, c.codec = k.kind, k
}

var enumType = regexp.MustCompile(`^enum\((.*)\)$`)

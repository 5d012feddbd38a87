package sql

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/fieldsync/fieldsync/engine/record"
)

func (d *postgres) columns(ctx context.Context, c *connection, r relation) ([]column, error) {
	var list []column
	at := map[int64]int{} // by number
	id := strconv.FormatInt(r.id, 10)
	err := c.each(ctx, func(v []any) error {
		n, err := whole(v[0])
		if err != nil {
			return err
		}
		mod, err := strconv.Atoi(say(v[4]))
		if err != nil {
			return err
		}
		labels, err := texts(say(v[5]))
		if err != nil {
			return err
		}
		col := column{name: say(v[1]), native: say(v[2]), notNull: say(v[6]) == "true", hasValue: say(v[7]) == "true"}
		if col.primary, err = strconv.Atoi(say(v[10])); err != nil {
			return err
		}
		switch {
		case say(v[8]) != "":
			col.fixed = "it is computed by the database"
		case say(v[9]) == "a":
			col.fixed, col.hasValue, col.counted = "it is numbered by the database", true, true
		case say(v[9]) == "d":
			col.hasValue, col.counted = true, true
		}
		col.typed(say(v[3]), mod, labels, say(v[11]) == "A")
		at[n] = len(list)
		list = append(list, col)
		return nil
	}, `SELECT a.attnum::int8, a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text,
			CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END::text,
			coalesce((SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = b.oid)::text, '[]'),
			(a.attnotnull OR t.typnotnull)::text, (a.atthasdef OR t.typdefault IS NOT NULL)::text, a.attgenerated::text, a.attidentity::text,
			coalesce((SELECT array_position(i.indkey[0:i.indnkeyatts - 1]::int2[], a.attnum) + 1 - array_lower(i.indkey[0:i.indnkeyatts - 1]::int2[], 1)
				FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisprimary), 0)::text,
			b.typcategory::text
		FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
			JOIN pg_type AS b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
		WHERE a.attrelid = $1::int8::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, id)
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, func(v []any) error {
		n, err := whole(v[0])
		if err != nil {
			return err
		}
		if i, ok := at[n]; ok {
			list[i].choose(listed(listCheck, say(v[1])))
		}
		return nil
	}, `SELECT conkey[1]::int8, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::int8::oid AND contype = 'c' AND array_length(conkey, 1) = 1`, id)
	return list, err
}

// typed finds the kind of record for a type of PostgreSQL. mod is the number in parentheses behind it, encoded.
func (c *column) typed(name string, mod int, labels []string, isArray bool) {
	k := typed{digits: 6, noNUL: true}
	switch {
	case isArray:
		k.class, k.kind.Kind = array, record.List
	case len(labels) > 0:
		k.class, k.kind.Kind = text, record.Text
		k.allowed = labels
		c.choices, c.closed = choicesOf(labels), true
	default:
		switch name {
		case "text", "citext", "name", "varchar", "bpchar":
			k.class, k.kind.Kind = text, record.Text
			if mod > 4 && name != "name" {
				c.max = mod - 4
			}
		case "int2", "int4", "int8", "oid":
			k.class, k.kind.Kind = number, record.Int
		case "float4", "float8":
			k.class, k.kind.Kind = fraction, record.Float
		case "numeric":
			k.class, k.kind = decimal, record.Type{Kind: record.Text}
			if mod >= 4 {
				k.kind = decimals((mod-4)>>16&0xffff, (mod-4)&0x7ff)
			}
		case "bool":
			k.class, k.kind.Kind = flag, record.Bool
		case "timestamp", "timestamptz":
			k.class, k.kind.Kind, k.zone = instants, record.Time, name == "timestamptz"
			if mod >= 0 {
				k.digits = mod
			}
		case "date":
			k.class, k.kind = day, record.Type{Kind: record.Text, Layout: "2006-01-02"}
		case "uuid":
			k.class, k.kind.Kind = uuid, record.Text
		case "bytea":
			k.class, k.kind.Kind = bytesOf, record.Text
		case "json", "jsonb":
			k.class = document // of any kind
		default:
			k.class, k.kind.Kind = opaque, record.Text
		}
	}
	c.kind, c.codec = k.kind, k
}

// choose notes the only values that a constraint of the table allows.
func (c *column) choose(values []string) {
	if values == nil || c.choices != nil {
		return
	}
	c.closed = true
	for _, choice := range choicesOf(values) {
		if v, err := c.kind.Coerce(choice.Value); err == nil {
			choice.Value = v
		}
		c.choices = append(c.choices, choice)
	}
}

func texts(list string) (names []string, err error) {
	if list != "" {
		err = json.Unmarshal([]byte(list), &names)
	}
	return names, err
}

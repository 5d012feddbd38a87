package sql

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Conditions that are understood. A query with any other part is not taken apart at all: what stands inside a CASE, a
// BETWEEN or a function need not be asked of a row.
var (
	joined   = regexp.MustCompile(`(?is)^\s*(and)\b`)
	equality = regexp.MustCompile(`(?s)^\s*([A-Za-z_][A-Za-z0-9_]*|"[^"]+")\s*=\s*(?:'((?:[^'\\]|'')*)'|(-?[0-9]{1,18}))`)
	other    = regexp.MustCompile(`(?is)^\s*(?:[A-Za-z_][A-Za-z0-9_]*|"[^"]+")\s*(?:(?:<>|!=|<=|>=|<|>)\s*(?:'(?:[^'\\]|'')*'|-?[0-9]+(?:\.[0-9]+)?)|is\s+(?:not\s+)?null\b)`)
)

// Admits takes a condition apart that consists of comparisons joined by AND: those for equality with a text or a whole
// number are asked of every row.
func (c *Config) Admits(_, native string) connectors.Terms {
	t := connectors.Terms{Values: record.Fields{}, Whole: true}
	for rest := native; ; {
		if m := equality.FindStringSubmatch(rest); m != nil {
			path := m[1]
			switch {
			case path[0] != '"':
			case c.ansi():
				path = path[1 : len(path)-1]
			default:
				return connectors.Terms{} // a text in double quotes
			}
			v := record.OfText(strings.ReplaceAll(m[2], "''", "'"))
			if m[3] != "" {
				n, err := strconv.ParseInt(m[3], 10, 64)
				if err != nil {
					return connectors.Terms{}
				}
				v = record.OfInt(n)
			}
			if was, twice := t.Values[path]; twice && was != v {
				return connectors.Terms{} // nothing is in such a scope
			}
			t.Values[path] = v
			rest = rest[len(m[0]):]
		} else if m := other.FindString(rest); m != "" {
			t.Whole = false
			rest = rest[len(m):]
		} else {
			return connectors.Terms{}
		}
		if strings.TrimSpace(rest) == "" {
			return t
		}
		m := joined.FindString(rest)
		if m == "" {
			return connectors.Terms{}
		}
		rest = rest[len(m):]
	}
}

// ansi reports whether the database takes what stands in double quotes for the name of a column.
func (c *Config) ansi() bool { return c.Driver != "mysql" && c.Driver != "mariadb" }

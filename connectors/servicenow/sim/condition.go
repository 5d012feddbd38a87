package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A condition is one valid term of an encoded query.
type condition struct {
	path       *path
	op         string
	values     []string // folded where the column compares without case
	other      *path    // the second field of SAMEAS and its like
	impossible bool     // valid field, value that its type cannot hold
}

const timeLayout = "2006-01-02 15:04:05"

// condition compiles one term; nil if it has to be dropped.
func (s *Server) condition(t *table, term string, u *User) *condition {
	field, op, value, ok := split(term)
	if !ok {
		return nil
	}
	c := &condition{op: op, path: s.path(t, field)}
	if c.path == nil {
		return nil
	}
	col := c.path.last()
	switch op {
	case "ISEMPTY", "ISNOTEMPTY", "ANYTHING", "EMPTYSTRING":
		return c
	case "SAMEAS", "NSAMEAS", "GT_FIELD", "LT_FIELD", "GT_OR_EQUALS_FIELD", "LT_OR_EQUALS_FIELD":
		if c.other = s.path(t, value); c.other == nil {
			return nil
		}
		return c
	case "RELATIVEGT", "RELATIVELT":
		at, ok := s.relative(value)
		if !ok || !col.temporal() {
			return nil
		}
		c.op, c.values = map[string]string{"RELATIVEGT": ">", "RELATIVELT": "<"}[op], []string{at}
		return c
	case "ON", "NOTON":
		parts := strings.Split(value, "@")
		if !col.temporal() {
			return nil
		}
		if len(parts) < 3 { // a plain day
			parts = []string{"", value + " 00:00:00", value + " 23:59:59"}
		}
		c.values = parts[1:3]
	case "BETWEEN":
		from, to, found := strings.Cut(value, "@")
		if !found {
			return nil
		}
		c.values = []string{from, to}
	case "IN", "NOT IN":
		c.values = strings.Split(value, ",")
	case "<", "<=", ">", ">=":
		if value == "" {
			return nil
		}
		c.values = []string{value}
	default:
		c.values = []string{value}
	}
	for i, v := range c.values {
		c.values[i] = s.literal(v, u)
	}
	c.fit(col)
	return c
}

// fit brings the values into the form that the column's stored values have, and finds out what can never match.
func (c *condition) fit(col *column) {
	for i, v := range c.values {
		switch {
		case v == "":
		case c.op == "LIKE" || c.op == "NOT LIKE" || c.op == "STARTSWITH" || c.op == "ENDSWITH":
			c.values[i] = strings.ToLower(v)
		case col.numeric():
			if _, err := strconv.ParseFloat(v, 64); err != nil {
				c.impossible = true
			}
		case col.temporal():
			if _, err := time.Parse(timeLayout, v); err == nil {
				break
			}
			if _, err := time.Parse(time.DateOnly, v); err != nil {
				c.impossible = true
			} else {
				c.values[i] = v + " 00:00:00"
			}
		case col.kind == "boolean":
			switch strings.ToLower(v) {
			case "true", "1":
				c.values[i] = "true"
			case "false", "0":
				c.values[i] = "false"
			default:
				c.impossible = true
			}
		default:
			c.values[i] = strings.ToLower(v)
		}
	}
	// In a list one impossible value does not spoil the others.
	if c.op == "IN" || c.op == "NOT IN" {
		c.impossible = false
	}
}

func (c *condition) match(s *Server, r *row) bool {
	v, col := c.path.value(s, r), c.path.last()
	if c.impossible {
		return c.op == "!=" || c.op == "NOTON"
	}
	switch c.op {
	case "ANYTHING":
		return true
	case "ISEMPTY", "EMPTYSTRING":
		return v == ""
	case "ISNOTEMPTY":
		return v != ""
	case "=":
		return same(col, v, c.values[0])
	case "!=": // an empty value differs from every other
		return !same(col, v, c.values[0])
	case "IN":
		return slices.ContainsFunc(c.values, func(w string) bool { return same(col, v, w) })
	case "NOT IN":
		return !slices.ContainsFunc(c.values, func(w string) bool { return same(col, v, w) })
	case "LIKE", "NOT LIKE", "STARTSWITH", "ENDSWITH":
		return c.matchText(s, v)
	case "SAMEAS", "NSAMEAS", "GT_FIELD", "LT_FIELD", "GT_OR_EQUALS_FIELD", "LT_OR_EQUALS_FIELD":
		return c.matchField(v, c.other.value(s, r))
	}
	if v == "" { // nothing is neither less nor more than something
		return c.op == "NOTON"
	}
	switch c.op {
	case "<":
		return order(col, v, c.values[0]) < 0
	case "<=":
		return order(col, v, c.values[0]) <= 0
	case ">":
		return order(col, v, c.values[0]) > 0
	case ">=":
		return order(col, v, c.values[0]) >= 0
	case "BETWEEN", "ON":
		return order(col, v, c.values[0]) >= 0 && order(col, v, c.values[1]) <= 0
	case "NOTON":
		return order(col, v, c.values[0]) < 0 || order(col, v, c.values[1]) > 0
	}
	return false
}

// matchText is LIKE and its kin; on references they look at what people see.
func (c *condition) matchText(s *Server, v string) bool {
	if col := c.path.last(); col.kind == "reference" {
		v = s.refName(col, v)
	}
	v = strings.ToLower(v)
	switch c.op {
	case "LIKE":
		return strings.Contains(v, c.values[0])
	case "NOT LIKE":
		return !strings.Contains(v, c.values[0])
	case "STARTSWITH":
		return strings.HasPrefix(v, c.values[0])
	}
	return strings.HasSuffix(v, c.values[0])
}

func (c *condition) matchField(v, w string) bool {
	col := c.path.last()
	switch c.op {
	case "SAMEAS":
		return same(col, v, w)
	case "NSAMEAS":
		return !same(col, v, w)
	}
	if v == "" || w == "" {
		return false
	}
	d := order(col, v, strings.ToLower(w))
	switch c.op {
	case "GT_FIELD":
		return d > 0
	case "LT_FIELD":
		return d < 0
	case "GT_OR_EQUALS_FIELD":
		return d >= 0
	}
	return d <= 0
}

// same compares a stored value with a fitted one.
func same(col *column, stored, want string) bool {
	if col.numeric() && stored != "" && want != "" {
		return stored == want || number(stored) == number(want)
	}
	return stored == want || len(stored) == len(want) && strings.EqualFold(stored, want)
}

// order compares a stored value with a fitted one: numbers by size, the rest as text.
func order(col *column, stored, want string) int {
	if col.numeric() {
		switch a, b := number(stored), number(want); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	}
	if col.temporal() || col.kind == "GUID" {
		return strings.Compare(stored, want)
	}
	return strings.Compare(strings.ToLower(stored), want)
}

// literal evaluates a value that asks for script; all other values are themselves. Scripted times start
// from the session user's time zone and end in UTC.
func (s *Server) literal(v string, u *User) string {
	script, ok := strings.CutPrefix(v, "javascript:")
	if !ok {
		return v
	}
	name, rest, _ := strings.Cut(strings.TrimPrefix(script, "gs."), "(")
	arguments, _, _ := strings.Cut(rest, ")")
	args := strings.Split(arguments, ",")
	for i := range args {
		args[i] = strings.Trim(strings.TrimSpace(args[i]), `'"`)
	}
	loc := u.location()
	now := s.clock().In(loc)
	n, _ := strconv.Atoi(args[0])
	day := func(back int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()-back, 0, 0, 0, 0, loc)
	}
	var at time.Time
	switch name {
	case "dateGenerate":
		if len(args) < 2 {
			return v
		}
		t, err := time.ParseInLocation(timeLayout, args[0]+" "+args[1], loc)
		if err != nil {
			return v
		}
		at = t
	case "beginningOfToday":
		at = day(0)
	case "endOfToday":
		at = day(-1).Add(-time.Second)
	case "daysAgoStart":
		at = day(n)
	case "daysAgoEnd":
		at = day(n - 1).Add(-time.Second)
	case "daysAgo":
		at = now.AddDate(0, 0, -n)
	case "hoursAgo":
		at = now.Add(time.Duration(-n) * time.Hour)
	case "minutesAgo":
		at = now.Add(time.Duration(-n) * time.Minute)
	case "nowDateTime", "now":
		at = now
	case "getUserID":
		return s.userID(u.Login)
	default:
		return v
	}
	return at.UTC().Format(timeLayout)
}

// relative reads "@hour@ago@1".
func (s *Server) relative(v string) (string, bool) {
	parts := strings.Split(strings.TrimPrefix(v, "@"), "@")
	if len(parts) != 3 {
		return "", false
	}
	n, err := strconv.Atoi(parts[2])
	if err != nil {
		return "", false
	}
	if parts[1] == "ago" {
		n = -n
	}
	at := s.clock()
	switch parts[0] {
	case "minute":
		at = at.Add(time.Duration(n) * time.Minute)
	case "hour":
		at = at.Add(time.Duration(n) * time.Hour)
	case "dayofweek", "day":
		at = at.AddDate(0, 0, n)
	case "week":
		at = at.AddDate(0, 0, 7*n)
	case "month":
		at = at.AddDate(0, n, 0)
	case "year":
		at = at.AddDate(n, 0, 0)
	default:
		return "", false
	}
	return at.UTC().Format(timeLayout), true
}

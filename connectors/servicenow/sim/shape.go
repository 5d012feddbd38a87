package sim

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The values of sysparm_display_value.
const (
	raw = iota
	shown
	both
)

// A shape is how records are written: which fields, which form.
type shape struct {
	mode   int
	links  bool
	fields []*path // nil: all of the table
	user   *User
	api    string
	shift  int // the member to start with: the order of members is not stable
}

func (s *Server) shape(c *call, t *table) *shape {
	p := c.params
	out := &shape{links: p.get("sysparm_exclude_reference_link") != "true", user: c.user, api: c.api(), shift: int(s.requests.Load())}
	switch p.get("sysparm_display_value") {
	case "true":
		out.mode = shown
	case "all":
		out.mode = both
	}
	names := p.get("sysparm_fields")
	if names == "" {
		for _, col := range t.cols {
			out.fields = append(out.fields, s.path(t, col.name))
		}
		return out
	}
	out.fields = []*path{}
	seen := map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		if f := s.path(t, strings.TrimSpace(name)); f != nil && !seen[f.name] {
			seen[f.name] = true
			out.fields = append(out.fields, f)
		}
	}
	return out
}

// appendRow writes one record as a JSON object.
func (s *Server) appendRow(b []byte, r *row, sh *shape) []byte {
	b = append(b, '{')
	n := 0
	for i := range sh.fields {
		p := sh.fields[(i+sh.shift)%len(sh.fields)]
		if !s.readableField(p, sh.user) {
			continue
		}
		if n > 0 {
			b = append(b, ',')
		}
		n++
		b = append(quote(b, p.name), ':')
		b = s.appendValue(b, r, p, sh)
	}
	return append(b, '}')
}

func (s *Server) appendValue(b []byte, r *row, p *path, sh *shape) []byte {
	c, v := p.last(), p.value(s, r)
	if c.kind == "reference" || c.kind == "domain_id" {
		return s.appendReference(b, c, v, sh)
	}
	if c.journal() {
		v = ""
	}
	if sh.mode == raw {
		return quote(b, v)
	}
	display := ""
	if end := p.end(s, r); end != nil {
		display = s.display(end, c, v, sh.user)
	}
	if sh.mode == shown {
		return quote(b, display)
	}
	b = append(b, `{"display_value":`...)
	if c.name == "upon_reject" && v == "" {
		b = append(b, "null"...)
	} else {
		b = quote(b, display)
	}
	return append(quote(append(b, `,"value":`...), v), '}')
}

func (s *Server) appendReference(b []byte, c *column, v string, sh *shape) []byte {
	name := ""
	if sh.mode != raw {
		name = s.refName(c, v)
	}
	if v == "" || !sh.links {
		switch sh.mode {
		case raw:
			return quote(b, v)
		case shown:
			return quote(b, name)
		}
		b = quote(append(b, `{"display_value":`...), name)
		return append(quote(append(b, `,"value":`...), v), '}')
	}
	b = append(b, '{')
	if sh.mode != raw {
		b = append(quote(append(b, `"display_value":`...), name), ',')
	}
	link := sh.api + "/table/" + c.ref + "/" + v
	if c.refKey != "" {
		link = sh.api + "/table/" + c.ref + "?" + c.refKey + "=" + v
	}
	b = quote(append(b, `"link":`...), link)
	if sh.mode != shown {
		b = quote(append(b, `,"value":`...), v)
	}
	return append(b, '}')
}

// display is what people see of a stored value.
func (s *Server) display(r *row, c *column, v string, u *User) string {
	switch {
	case c.journal():
		return s.history(r, c, u)
	case c.name == "sla_due" && v == "":
		return "UNKNOWN"
	case v == "":
		return ""
	case c.choice != "":
		for _, ch := range s.choicesOf(r.t, c.name) {
			if ch.value == v {
				return ch.label
			}
		}
		return v
	case c.kind == "integer":
		return grouped(v, u)
	case c.temporal():
		return localTime(v, u)
	case c.kind == "glide_duration":
		return duration(v)
	case c.kind == "sys_class_name":
		if t := s.tables[v]; t != nil {
			return t.label
		}
	case c.kind == "glide_list":
		return s.names(c, v)
	}
	return v
}

// names shows a list of references.
func (s *Server) names(c *column, v string) string {
	parts := strings.Split(v, ",")
	for i, id := range parts {
		if name := s.refName(c, id); name != "" {
			parts[i] = name
		}
	}
	return strings.Join(parts, ", ")
}

// grouped writes 102197 as 102,197, or as the user's language does.
func grouped(v string, u *User) string {
	sep := ","
	if u.language == "de" {
		sep = "."
	}
	digits, sign := strings.TrimPrefix(v, "-"), ""
	if len(digits) < len(v) {
		sign = "-"
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + sep + digits[i:]
	}
	return sign + digits
}

// duration writes an offset from 1970 as "1 Day 4 Hours 23 Minutes".
func duration(v string) string {
	at, err := time.Parse(timeLayout, v)
	if err != nil {
		return v
	}
	left := at.Unix()
	var out []string
	for _, u := range []struct {
		name    string
		seconds int64
	}{{"Day", 86400}, {"Hour", 3600}, {"Minute", 60}, {"Second", 1}} {
		n := left / u.seconds
		left %= u.seconds
		if n == 0 || u.seconds == 1 && len(out) > 0 {
			continue
		}
		name := u.name
		if n != 1 {
			name += "s"
		}
		out = append(out, fmt.Sprintf("%d %s", n, name))
	}
	if len(out) == 0 {
		return "0 Seconds"
	}
	return strings.Join(out, " ")
}

// quote appends a JSON string. Plain ASCII, nearly all there is, needs no encoder.
func quote(b []byte, v string) []byte {
	for i := range len(v) {
		if ch := v[i]; ch < 0x20 || ch >= 0x80 || ch == '"' || ch == '\\' {
			enc, err := json.Marshal(v)
			if err != nil {
				return strconv.AppendQuoteToASCII(b, v)
			}
			return append(b, enc...)
		}
	}
	b = append(b, '"')
	b = append(b, v...)
	return append(b, '"')
}

// compress writes a body with gzip, for speed rather than size.
func compress(w io.Writer, body []byte) {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return
	}
	_, _ = z.Write(body) // a client that went away is its own business
	_ = z.Close()
}

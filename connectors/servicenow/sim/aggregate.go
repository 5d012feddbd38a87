package sim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// statsAPI answers counts, extremes, sums and averages, in groups where asked.
func (s *Server) statsAPI(c *call) reply {
	if !c.reading() {
		return failed(wrongMethod)
	}
	s.share(c.path[1])
	defer s.mu.RUnlock()
	t := s.tables[c.path[1]]
	if t == nil {
		return failed(noTable(c.path[1]))
	}
	q := s.queryOf(c, t)
	q.order = nil
	if fail := s.readableTable(t, c.user, q); fail != nil {
		return failed(fail)
	}
	if t.is("task") && !c.user.has(readers...) {
		return failed(queryDenied)
	}
	rows := slices.DeleteFunc(slices.Clone(s.run(t, q, 0, len(t.rows())+1, true).rows), func(r *row) bool { return !s.readable(r, c.user) })
	by := s.paths(t, c.params.get("sysparm_group_by"))
	b := []byte(`{"result":`)
	if len(by) == 0 {
		b = s.appendStats(append(b, '{'), c, t, rows)
		return reply{status: http.StatusOK, header: http.Header{}, body: append(b, "}}"...)}
	}
	groups := map[string][]*row{}
	for _, r := range rows {
		var key []string
		for _, p := range by {
			key = append(key, p.value(s, r))
		}
		k := strings.Join(key, "\x00")
		groups[k] = append(groups[k], r)
	}
	var keys []string
	for k := range groups {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '[')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendStats(append(b, '{'), c, t, groups[k])
		b = append(b, `,"groupby_fields":[`...)
		for j, v := range strings.Split(k, "\x00") {
			if j > 0 {
				b = append(b, ',')
			}
			b = quote(append(b, `{"field":`...), by[j].name)
			b = append(quote(append(b, `,"value":`...), v), '}')
		}
		b = append(b, "]}"...)
	}
	return reply{status: http.StatusOK, header: http.Header{}, body: append(b, "]}"...)}
}

func (s *Server) paths(t *table, names string) []*path {
	var out []*path
	for name := range strings.SplitSeq(names, ",") {
		if p := s.path(t, name); p != nil {
			out = append(out, p)
		}
	}
	return out
}

func (s *Server) appendStats(b []byte, c *call, t *table, rows []*row) []byte {
	b = append(b, `"stats":{`...)
	var parts []string
	if c.params.get("sysparm_count") == "true" {
		parts = append(parts, `"count":"`+strconv.Itoa(len(rows))+`"`)
	}
	for _, kind := range []string{"min", "max", "sum", "avg"} {
		var fields []string
		for _, p := range s.paths(t, c.params.get("sysparm_"+kind+"_fields")) {
			fields = append(fields, string(quote(append(quote(nil, p.name), ':'), s.aggregate(kind, p, rows))))
		}
		if len(fields) > 0 {
			parts = append(parts, `"`+kind+`":{`+strings.Join(fields, ",")+`}`)
		}
	}
	return append(append(b, strings.Join(parts, ",")...), '}')
}

func (s *Server) aggregate(kind string, p *path, rows []*row) string {
	var best *row
	sum, n := 0.0, 0
	for _, r := range rows {
		v := p.value(s, r)
		if v == "" {
			continue
		}
		if d := 0; best != nil {
			d = p.compare(s, r, best)
			if kind == "min" && d < 0 || kind == "max" && d > 0 {
				best = r
			}
		} else {
			best = r
		}
		if p.last().numeric() {
			sum += number(v)
			n++
		}
	}
	switch {
	case kind == "sum" && n > 0:
		return strconv.FormatFloat(sum, 'f', -1, 64)
	case kind == "avg" && n > 0:
		return strconv.FormatFloat(sum/float64(n), 'f', 4, 64)
	case best != nil && (kind == "min" || kind == "max"):
		return p.value(s, best)
	}
	return ""
}

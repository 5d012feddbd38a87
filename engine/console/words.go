package console

import (
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
	"github.com/fieldsync/fieldsync/engine/report"
)

// words are what the templates can say. What they return as HTML is escaped here.
func (c *Console) words() template.FuncMap {
	return template.FuncMap{
		"age":       func(t time.Time) string { return report.Age(t, c.b.Now()) },
		"moment":    moment,
		"took":      took,
		"lag":       lag,
		"count":     report.Count,
		"counted":   counted,
		"value":     value,
		"change":    change,
		"outcome":   report.Outcome,
		"counts":    report.Counts,
		"why":       func(a *plan.Action, ch plan.Change) string { return report.Why(a, ch) },
		"bytes":     func(n int64) string { return plan.Bytes(n).String() },
		"place":     place,
		"query":     query,
		"syncAt":    syncAt,
		"record":    recordAt,
		"pair":      pairName,
		"bars":      bars,
		"mark":      mark,
		"setBy":     report.SetBy,
		"lines":     func(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") },
		"inc":       func(n int) int { return n + 1 },
		"on":        func(list []Diagnostic, line int) []Diagnostic { return on(list, line) },
		"percent":   func(done, total int64) int64 { return min(100, done*100/max(1, total)) },
		"dict":      dict,
		"underline": underline,
	}
}

// dict gives a template that is called by another several values by name.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict takes pairs, and got %d values", len(pairs))
	}
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("%v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// moment is a time that browsers and screen readers understand, in UTC as everywhere.
func moment(t time.Time) template.HTML {
	if t.IsZero() {
		return `<span class="faint">never</span>`
	}
	u := t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, u.Format(time.RFC3339), u.Format("2006-01-02 15:04:05Z")))
}

// took is how long something lasted.
func took(from, to time.Time) string {
	if to.IsZero() {
		return "–"
	}
	return seconds(to.Sub(from).Seconds())
}

func seconds(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 2*3600:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%.0f h", s/3600)
	}
	return fmt.Sprintf("%.0f days", s/86400)
}

func lag(s float64) string {
	if s < 0 {
		return "–"
	}
	return seconds(s)
}

// whole is how many characters of a value stand on a page before the rest has to be unfolded.
const whole = 240

// value shows a value as plan does, in full.
func value(v record.Value) template.HTML {
	class := "v"
	switch {
	case !v.Known():
		return `<span class="faint" title="not known">–</span>`
	case v.Empty():
		class = "v null"
	}
	text := report.Value(v)
	if utf8.RuneCountInString(text) <= whole {
		return template.HTML(`<code class="` + class + `">` + template.HTMLEscapeString(text) + `</code>`)
	}
	head := string([]rune(text)[:whole/2])
	return template.HTML(`<details class="long"><summary><code class="v">` + template.HTMLEscapeString(head) + `…</code> <span class="faint">` +
		template.HTMLEscapeString(report.Count(int64(utf8.RuneCountInString(text)))) + ` characters</span></summary><code class="v">` +
		template.HTMLEscapeString(text) + `</code></details>`)
}

// change shows what a value was and what it becomes, with the part that differs marked where both are long.
func change(from, to record.Value) template.HTML {
	a, b := report.Value(from), report.Value(to)
	if !from.Known() {
		a = "–"
	}
	return template.HTML(`<del>` + differing(a, b) + `</del> <span class="to">→</span> <ins>` + differing(b, a) + `</ins>`)
}

// around is how much of what two long values share is shown on both sides of where they differ.
const around = 24

// differing is text escaped, with what is not at the ends of other too marked. Of a long text only the neighbourhood of
// that is shown.
func differing(text, other string) string {
	x, y := []rune(text), []rune(other)
	esc := func(r []rune) string { return template.HTMLEscapeString(string(r)) }
	if len(x) < 40 && len(y) < 40 {
		return esc(x)
	}
	pre, post := 0, 0
	for n := min(len(x), len(y)); pre < n && x[pre] == y[pre]; pre++ {
	}
	for n := min(len(x), len(y)) - pre; post < n && x[len(x)-1-post] == y[len(y)-1-post]; post++ {
	}
	head, body, tail := x[:pre], x[pre:len(x)-post], x[len(x)-post:]
	before, after := "", ""
	if len(head) > 2*around {
		head, before = head[len(head)-around:], "…"
	}
	if len(tail) > 2*around {
		tail, after = tail[:around], "…"
	}
	middle := esc(body)
	if len(body) > 4*whole {
		middle = esc(body[:2*whole]) + "… " + report.Count(int64(len(body)-4*whole)) + " characters more …" + esc(body[len(body)-2*whole:])
	}
	if len(body) > 0 && len(head)+len(tail) > 2 {
		middle = "<mark>" + middle + "</mark>"
	}
	return before + esc(head) + middle + esc(tail) + after
}

// place links file:line to the line of the mapping file.
func place(at string) template.HTML {
	if at == "" {
		return ""
	}
	i := strings.LastIndexByte(at, ':')
	if i < 0 {
		return template.HTML(template.HTMLEscapeString(at))
	}
	file, line := path.Base(strings.ReplaceAll(at[:i], `\`, "/")), at[i+1:]
	return template.HTML(`<a class="place" href="/mappings/` + template.HTMLEscapeString(url.PathEscape(file)) + `#L` + template.HTMLEscapeString(line) + `">` +
		template.HTMLEscapeString(file+":"+line) + `</a>`)
}

// query is an address with parameters; those that are "" or 0 are left out.
func query(to string, pairs ...any) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v := fmt.Sprint(pairs[i+1]); v != "" && v != "0" {
			q.Set(fmt.Sprint(pairs[i]), v)
		}
	}
	if len(q) == 0 {
		return to
	}
	return to + "?" + q.Encode()
}

// A sign is how plan marks an action, for eyes and for ears.
type sign struct{ Mark, Class, Word string }

func mark(s Step) sign {
	switch {
	case s.Conflict != nil:
		return sign{"!", "bad", "Conflict"}
	case s.Hold != nil:
		return sign{"!", "bad", "Held"}
	case s.Own:
		return sign{"·", "seen", "Edit found on"}
	}
	switch a := s.Action; a.Kind {
	case plan.Create:
		return sign{"+", "add", "Create"}
	case plan.Update:
		return sign{"~", "alter", "Update"}
	case plan.Comment:
		if a.Entry != nil && a.Entry.Copy != "" {
			return sign{"~", "alter", "Edit comment of"}
		}
		return sign{"+", "add", "Comment on"}
	case plan.Attachment:
		return sign{"+", "add", "Attach to"}
	}
	return sign{"−", "del", "Delete"}
}

// on are the diagnostics that begin in a line.
func on(list []Diagnostic, line int) []Diagnostic {
	var found []Diagnostic
	for _, d := range list {
		if d.Line == line {
			found = append(found, d)
		}
	}
	return found
}

// underline marks the characters of a line that a diagnostic is about.
func underline(line string, d Diagnostic) template.HTML {
	r := []rune(line)
	from := min(max(0, d.Column-1), len(r))
	to := len(r)
	if d.EndLine == d.Line {
		to = min(max(from, d.EndCol-1), len(r))
	}
	esc := func(r []rune) string { return template.HTMLEscapeString(string(r)) }
	return template.HTML(esc(r[:from]) + "<mark>" + esc(r[from:to]) + "</mark>" + esc(r[to:]))
}

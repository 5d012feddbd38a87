package report

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// Widths of the columns. They are fixed, so that a plan can be printed while it streams; an item with longer
// names widens them for itself, values only up to valueMax.
const (
	nameWidth  = 20
	pathWidth  = 20
	valueWidth = 21
	valueMax   = 46
)

// Plan prints a whole plan: the line of counts, its items, the closing line.
func Plan(w io.Writer, h plan.Header, f plan.Footer, items iter.Seq2[plan.Item, error], st Style) error {
	o := newOut(w, st)
	o.line(o.paint(bold, h.Sync), "   ", Counts(h, f))
	for it, err := range items {
		if err != nil {
			return fmt.Errorf("plan of %s: %w", h.Sync, err)
		}
		switch {
		case it.Action != nil:
			o.action(h, it.Action)
		case it.Conflict != nil:
			o.conflictHead(it.Conflict)
			o.conflict(h.Sides, it.Conflict)
		case it.Hold != nil:
			o.hold(it.Hold)
		}
	}
	o.closing(h, f)
	return o.Flush()
}

// Counts sums a plan up: "12 links · 1 create · 0.8 s".
func Counts(h plan.Header, f plan.Footer) string {
	parts := []string{some(h.Links, "link", "links")}
	for _, c := range []struct {
		n         int64
		one, many string
	}{
		{f.Creates, "create", "creates"}, {f.Updates, "update", "updates"}, {f.Comments, "comment", "comments"}, {f.Attached, "attachment", "attachments"}, {f.Deletes, "delete", "deletes"},
		{f.Conflicts, "conflict", "conflicts"}, {f.Held, "held", "held"}, {f.Linked, "newly linked", "newly linked"},
		{f.Detached, "detached", "detached"}, {f.Ended, "ended", "ended"},
	} {
		if c.n > 0 {
			parts = append(parts, some(c.n, c.one, c.many))
		}
	}
	if len(parts) == 1 {
		parts = append(parts, "no changes")
	}
	return strings.Join(append(parts, seconds(h.Elapsed)), " · ")
}

func seconds(s float64) string {
	if s >= 90 {
		return fmt.Sprintf("%d min %02d s", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%.1f s", s)
}

// sign returns the sign and colour of a kind of action.
func sign(k plan.Kind) (string, text.Colors) {
	switch k {
	case plan.Create:
		return "+", green
	case plan.Update:
		return "~", yellow
	case plan.Comment, plan.Attachment:
		return "+", green
	}
	return "-", red
}

func target(a *plan.Action) string {
	name := a.Label
	if name == "" {
		name = a.Key
	}
	switch a.Kind {
	case plan.Comment:
		name = "comment " + name
	case plan.Attachment:
		return clean(fmt.Sprintf("attachment %s%s → %s %s", a.File.Name, sized(a.File.Size), a.SideName, name))
	}
	return clean(strings.TrimRight(a.SideName+" "+name, " "))
}

// entry shows who said what, and when. The text is on one line, as long as it stays readable.
func (o *out) entry(e *plan.Entry) {
	head := clean(e.Author)
	if !e.Time.IsZero() {
		head = strings.TrimSpace(head + " " + e.Time.UTC().Format(time.DateTime))
	}
	first, rest, more := strings.Cut(strings.TrimSpace(e.Text), "\n")
	if more && strings.TrimSpace(rest) != "" {
		first = strings.TrimSpace(first) + " …"
	}
	text := Value(record.OfText(cut(first, longComment)))
	if e.Copy != "" {
		was, _, _ := strings.Cut(strings.TrimSpace(e.Was), "\n")
		text = Value(record.OfText(cut(was, longComment))) + " → " + text
	}
	o.line("      ", pad(head, pathWidth), text)
}

// file shows what kind of file it is, who added it, and when.
func (o *out) file(f *plan.File) {
	head := clean(f.Author)
	if !f.Time.IsZero() {
		head = strings.TrimSpace(head + " " + f.Time.UTC().Format(time.DateTime))
	}
	o.line("      ", pad(head, pathWidth), clean(f.Type))
}

func sized(n int64) string {
	if n < 0 {
		return ""
	}
	return " " + plan.Bytes(n).String()
}

// longComment is how much of a comment's first line is shown.
const longComment = 80

func (o *out) action(h plan.Header, a *plan.Action) {
	mark, color := sign(a.Kind)
	if a.Entry != nil && a.Entry.Copy != "" {
		mark, color = sign(plan.Update)
	}
	from := ""
	if a.From.SideName != "" {
		from = clean(strings.TrimRight("from "+a.From.SideName+" "+a.From.Name(), " "))
	}
	if a.Why != "" && a.Kind != plan.Create { // that it is new is what the sign says
		from = strings.TrimLeft(from+"   "+o.paint(faint, clean(cut(a.Why, longWhy))), " ")
	}
	o.line("  ", o.paint(color, mark), " ", pad(target(a), nameWidth), from)
	o.changes(a)
	if a.Entry != nil {
		o.entry(a.Entry)
	}
	if a.File != nil {
		o.file(a.File)
	}
}

func (o *out) changes(a *plan.Action) {
	pw, vw := pathWidth, valueWidth
	shown := make([]string, len(a.Changes))
	for i, c := range a.Changes {
		switch {
		case c.Sensitive:
			shown[i] = sensitive
		case c.Pending != "":
			shown[i] = pending(a, c)
		case a.Kind == plan.Create:
			shown[i] = short(c.To)
		default:
			shown[i] = change(c.From, c.To)
		}
		pw = max(pw, text.StringWidth(clean(c.Path))+2)
		if n := text.StringWidth(shown[i]) + 2; n <= valueMax {
			vw = max(vw, n)
		}
	}
	for i, c := range a.Changes {
		o.line("      ", pad(clean(c.Path), pw), pad(shown[i], vw), o.paint(faint, Why(a, c)))
	}
}

// pending names a value that exists only once the record on the other side does.
func pending(a *plan.Action, c plan.Change) string {
	to := "(" + clean(c.Pending) + " of the new " + clean(a.From.SideName) + ")"
	if a.Kind == plan.Create {
		return to
	}
	return short(c.From) + " → " + to
}

// Why says which field rule made a change and from what. A plain copy names its rule alone, since its source
// shows the very same values; in a new record it needs no name either.
func Why(a *plan.Action, c plan.Change) string {
	said := c.Why
	bare := said == "" || said == a.Why || c.Pending != ""
	copied := a.Kind == plan.Create && endsWith(said, c.To.String()) || strings.HasSuffix(said, " "+c.From.String()+" → "+c.To.String())
	switch {
	case c.Sensitive:
		return clean(c.Field)
	case copied && a.Kind == plan.Create && c.Field != "match":
		return ""
	case bare || copied:
		return clean(c.Field)
	case c.Field == "":
		return clean(cut(said, longWhy))
	}
	return clean(c.Field + ": " + cut(said, longWhy))
}

// endsWith reports whether a reason ends with a value, which it may have shortened.
func endsWith(said, value string) bool {
	head, shortened := strings.CutSuffix(said, "…")
	if _, shown, ok := strings.Cut(head, ` "`); shortened && ok {
		return strings.HasPrefix(value, `"`+shown)
	}
	return strings.HasSuffix(said, " "+value)
}

// pair names the two records of a link; one that does not exist is left out.
func pair(keys, labels [2]string) string {
	var names []string
	for i := range keys {
		switch {
		case labels[i] != "":
			names = append(names, clean(labels[i]))
		case keys[i] != "":
			names = append(names, clean(keys[i]))
		}
	}
	return strings.Join(names, " ⇄ ")
}

func (o *out) conflictHead(c *plan.Conflict) {
	o.line("  ", o.paint(red, "!"), " conflict ", pair(c.Keys, c.Labels))
}

func (o *out) conflict(sides [2]string, c *plan.Conflict) {
	if c.Field == "" {
		o.line("      ", clean(c.Why))
		return
	}
	if c.Policy == pingPong {
		o.line("      ", pad(clean(c.Field), pathWidth), pad(contest(sides, c), valueWidth))
		o.line("      ", pingPong, ": ", clean(c.Why))
		o.hint("      ", "change one of the two so that they agree; or decide once: "+ResolveCommand(c.Sync, c, sides[0])+" (or "+sides[1]+")")
		return
	}
	o.line("      ", pad(clean(c.Field), pathWidth), pad(contest(sides, c), valueWidth), " ", o.paint(faint, wayOut(sides, c)))
}

// pingPong is the policy of a conflict between a rule and whoever sets its value back each time.
const pingPong = "ping-pong"

// contest shows what each side made of the value that both agreed on.
func contest(sides [2]string, c *plan.Conflict) string {
	if c.Sensitive {
		return sensitive
	}
	var parts []string
	for i, side := range sides {
		v := short(c.Now[i])
		if c.Base[i].Known() && c.Base[i] != c.Now[i] {
			v = change(c.Base[i], c.Now[i])
		}
		parts = append(parts, clean(side)+" "+v)
	}
	return strings.Join(parts, ", ")
}

// Asking reports whether a conflict waits for a person.
func Asking(c *plan.Conflict) bool { return c.Policy == "ask" || c.Policy == "" }

// ResolveCommand is what to type to decide c in favour of a side.
func ResolveCommand(sync string, c *plan.Conflict, side string) string {
	key := c.Keys[record.Left]
	if key == "" {
		key = c.Keys[record.Right]
	}
	return "fieldsync resolve " + strings.Join([]string{shell(sync), shell(key), shell(c.Field), "--take", shell(side)}, " ")
}

// shell quotes a word for a POSIX shell when it needs to be.
func shell(s string) string {
	plain := func(r rune) bool {
		return r > 0x7f || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_.:/@%+=,", r)
	}
	if s != "" && !slices.ContainsFunc([]rune(s), func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func wayOut(sides [2]string, c *plan.Conflict) string {
	if !Asking(c) {
		return strings.TrimRight(c.Policy+": "+clean(cut(c.Why, longWhy)), ": ")
	}
	return "ask: " + clean(ResolveCommand(c.Sync, c, sides[0])) + " (or " + clean(sides[1]) + ")"
}

func (o *out) hold(h *plan.Hold) {
	o.line("  ", o.paint(red, "!"), " held ", pair(h.Keys, h.Labels))
	if h.Field == "" {
		o.line("      ", clean(h.Cause))
	} else {
		o.line("      ", pad(clean(h.Field), pathWidth), clean(h.Cause))
	}
	o.hint("      ", h.Hint)
}

func (o *out) hint(indent, hint string) {
	if hint != "" {
		o.line(indent, "way out: ", clean(hint))
	}
}

func (o *out) closing(h plan.Header, f plan.Footer) {
	var b strings.Builder
	if f.Changes() == 0 {
		b.WriteString("Plan: nothing to do")
	} else {
		fmt.Fprintf(&b, "Plan: %s to create, %s to change, %s to delete", Count(f.Creates), Count(f.Updates), Count(f.Deletes))
		if f.Comments > 0 {
			b.WriteString(", " + some(f.Comments, "comment", "comments") + " to carry")
		}
		if f.Attached > 0 {
			b.WriteString(", " + some(f.Attached, "attachment", "attachments") + " to carry")
		}
	}
	var waits []string
	if f.Conflicts > 0 {
		waits = append(waits, some(f.Conflicts, "conflict waits", "conflicts wait"))
	}
	if f.Held > 0 {
		waits = append(waits, some(f.Held, "is held", "are held"))
	}
	if len(waits) > 0 {
		b.WriteString("; " + strings.Join(waits, ", "))
	}
	b.WriteString(".")
	if f.Changes() > 0 {
		b.WriteString(requests(f.Requests))
	}
	o.line(b.String())
	if h.InFlight > 0 {
		o.line(some(h.InFlight, "write", "writes"), " of an earlier run may or may not have happened, and may show here again: the next apply looks before it does anything else.")
	}
	o.stops(h, f)
}

func requests(rs []plan.Requests) string {
	var parts []string
	for _, r := range rs {
		if r.Count == 0 {
			continue
		}
		p := some(r.Count, "request", "requests") + " to " + clean(r.Connection)
		if r.Share > 0 {
			p += " (" + percent(r.Share) + " of its limit)"
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return ""
	}
	if n := len(parts); n > 1 {
		parts = []string{strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]}
	}
	return " About " + parts[0] + "."
}

// percent shows a share; what is too small to show is still not nothing.
func percent(share float64) string {
	if p := share * 100; p >= 0.05 {
		return fmt.Sprintf("%.1f %%", p)
	}
	return "< 0.1 %"
}

func (o *out) stops(h plan.Header, f plan.Footer) {
	if len(f.Stops) == 0 {
		return
	}
	for _, s := range f.Stops {
		o.line(o.paint(red, "Stopped: "), clean(s.Limit), ": ", clean(s.Why))
		o.hint("  ", s.Hint)
	}
	o.line("  to carry it out all the same: fieldsync apply ", shell(h.Sync), " --approve ", f.Digest)
}

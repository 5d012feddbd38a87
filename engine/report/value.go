package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fieldsync/fieldsync/engine/record"
)

// Lengths, in characters, that keep a change on one line and in sight.
const (
	longValue = 60  // shorter values are shown whole
	context   = 12  // shown before and after a difference
	longDiff  = 160 // of a difference, more than this is cut in its middle, and said to be
	longWhy   = 200
)

const sensitive = "(sensitive)"

// clean makes text harmless to show: what does not print becomes its escape.
func clean(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !unprintable(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// unprintable includes the invisible ones that reorder or join their neighbours.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Value shows v whole.
func Value(v record.Value) string { return clean(v.String()) }

// change shows from → to on one line. Of long values only the part that differs is shown, with a little of
// what stands around it, and the lengths, so that the change is never out of sight.
func change(from, to record.Value) string {
	a, b := from.String(), to.String()
	if utf8.RuneCountInString(a) <= longValue && utf8.RuneCountInString(b) <= longValue {
		return clean(a) + " → " + clean(b)
	}
	if from.Kind() == record.Text && to.Kind() == record.Text {
		x, y := []rune(from.Text()), []rune(to.Text())
		pre, post := common(x, y)
		return excerpt(x, pre, post, true) + " → " + excerpt(y, pre, post, true) + lengths(len(x), len(y))
	}
	if from.Kind() == to.Kind() {
		x, y := []rune(a), []rune(b)
		pre, post := common(x, y)
		return excerpt(x, pre, post, false) + " → " + excerpt(y, pre, post, false)
	}
	return short(from) + " → " + short(to)
}

// short shows v, cut in its middle when it is very long.
func short(v record.Value) string {
	if v.Kind() == record.Text {
		return excerpt([]rune(v.Text()), 0, 0, true)
	}
	return excerpt([]rune(v.String()), 0, 0, false)
}

func lengths(x, y int) string {
	return " (" + Count(int64(x)) + " → " + Count(int64(y)) + " characters)"
}

// common counts the characters that x and y share at their starts and, apart from these, at their ends.
func common(x, y []rune) (pre, post int) {
	n := min(len(x), len(y))
	for pre < n && x[pre] == y[pre] {
		pre++
	}
	for post < n-pre && x[len(x)-1-post] == y[len(y)-1-post] {
		post++
	}
	return pre, post
}

// excerpt shows s without most of its first pre and last post characters.
func excerpt(s []rune, pre, post int, quoted bool) string {
	start, end := max(0, pre-context), min(len(s), len(s)-post+context)
	head, tail := "", ""
	if start > 3 {
		head = "…"
	} else {
		start = 0
	}
	if end < len(s)-3 {
		tail = "…"
	} else {
		end = len(s)
	}
	quote := func(part []rune) string {
		if !quoted {
			return clean(string(part))
		}
		q := record.OfText(string(part)).String()
		return clean(q[1 : len(q)-1])
	}
	body := s[start:end]
	shown := quote(body)
	if len(body) > longDiff {
		const first, last = longDiff * 3 / 4, longDiff / 4
		gap := len(body) - first - last
		shown = quote(body[:first]) + "… " + some(int64(gap), "character", "characters") + " more …" + quote(body[len(body)-last:])
	}
	if quoted {
		return `"` + head + shown + tail + `"`
	}
	return head + shown + tail
}

// cut shortens a remark; what was cut off is not a change.
func cut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

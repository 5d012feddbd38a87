package state

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// What PostgreSQL says otherwise: it plans without hints, has no OR FAIL (a statement fails whole), and calls the place
// of a row ctid.
var (
	onlyLite  = regexp.MustCompile(` NOT INDEXED| INDEXED BY \w+| OR FAIL`)
	rowID     = regexp.MustCompile(`\browid\b`)
	parameter = regexp.MustCompile(`\?(\d*)`)

	translated sync.Map // by statement
)

// translate writes a statement for PostgreSQL. No statement of this package has a question mark in a literal.
func translate(query string) string {
	if known, ok := translated.Load(query); ok {
		return known.(string)
	}
	n := 0
	text := rowID.ReplaceAllString(onlyLite.ReplaceAllString(query, ""), "ctid")
	text = parameter.ReplaceAllStringFunc(text, func(p string) string {
		if p == "?" {
			n++
			return "$" + strconv.Itoa(n)
		}
		return "$" + p[1:]
	})
	translated.Store(query, text)
	return text
}

// PostgreSQL's text can hold neither a zero byte nor what is not UTF-8, and keys come from other systems. Such text is
// stored with an escape, byte 1 and a letter, that keeps the order of all valid text.
const escape = "\x01"

// storable writes s such that PostgreSQL takes it.
func storable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsAny(s, "\x00\x01") {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(escape + "c")
			b.WriteRune(rune(s[0]))
		case r == 0:
			b.WriteString(escape + "a")
		case r == 1:
			b.WriteString(escape + "b")
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// restored is what storable was given.
func restored(s string) string {
	if !strings.Contains(s, escape) {
		return s
	}
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, escape)
		b.WriteString(plain)
		if !found || rest == "" {
			return b.String()
		}
		kind := rest[0]
		s = rest[1:]
		switch kind {
		case 'a':
			b.WriteByte(0)
		case 'b':
			b.WriteByte(1)
		case 'c':
			r, size := utf8.DecodeRuneInString(s)
			b.WriteByte(byte(r))
			s = s[size:]
		}
	}
}

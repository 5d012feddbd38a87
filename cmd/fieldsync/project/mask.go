package project

import (
	"encoding/json"
	"html"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// ordinary reports whether a credential could as well be a word in a ticket. Hiding those would make a preview show
// something else than what is written; credentials of any kind are kept out of messages where they are used.
func ordinary(v string) bool {
	letters := strings.IndexFunc(v, func(r rune) bool { return !unicode.IsLetter(r) }) < 0
	return len(v) < 6 || letters && len(v) < 10
}

// Secrets are contents that no output may show.
type Secrets struct {
	mu   sync.Mutex
	list []string // longest first
}

// Add makes every writer hide these from now on, also in the forms that JSON, addresses and pages give them.
func (s *Secrets) Add(list ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range list {
		if ordinary(v) {
			continue
		}
		for _, form := range forms(v) {
			if !slices.Contains(s.list, form) {
				s.list = append(s.list, form)
			}
		}
	}
	slices.SortFunc(s.list, func(a, b string) int { return len(b) - len(a) })
}

// forms are the ways in which a text may stand in output: as it is, quoted as in a plan and quoted once more by JSON, in
// addresses, and each of them in a page.
func forms(v string) []string {
	quote := func(text string, page bool) string {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(page)
		_ = e.Encode(text)               // a string always encodes
		return b.String()[1 : b.Len()-2] // without the quotes and the end of the line
	}
	list := []string{v, quote(v, true), quote(v, false), quote(quote(v, false), false), url.QueryEscape(v), url.PathEscape(v)}
	for _, form := range slices.Clone(list) {
		list = append(list, html.EscapeString(form), strings.ReplaceAll(html.EscapeString(form), "+", "&#43;")) // the second as html/template writes it
	}
	return list
}

// hide replaces every secret in text, and returns apart the end of it that may be the start of one.
func (s *Secrets) hide(text string) (done, rest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.list {
		text = strings.ReplaceAll(text, v, "(sensitive)")
	}
	keep := 0
	for _, v := range s.list {
		for n := min(len(v)-1, len(text)); n > keep; n-- {
			if strings.HasSuffix(text, v[:n]) {
				keep = n
			}
		}
	}
	return text[:len(text)-keep], text[len(text)-keep:]
}

// Over is a writer to w that hides them.
func (s *Secrets) Over(w io.Writer) *Masked { return &Masked{w: w, Secrets: s} }

// Masked is a writer that shows no secret, not even one that arrives in pieces.
type Masked struct {
	w       io.Writer
	Secrets *Secrets

	mu      sync.Mutex
	pending string
}

func (m *Masked) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	done, rest := m.Secrets.hide(m.pending + string(p))
	m.pending = rest
	if done == "" {
		return len(p), nil
	}
	if _, err := io.WriteString(m.w, done); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what was kept back because it looked like the start of a secret.
func (m *Masked) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pending != "" {
		_, _ = io.WriteString(m.w, m.pending) // the process is ending, or a prompt follows: nobody to tell
		m.pending = ""
	}
}

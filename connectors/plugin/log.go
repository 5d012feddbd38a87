package plugin

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	longestSaid = 1000 // bytes of a line that are kept
	mostSaid    = 100  // lines in logEach
	logEach     = 10 * time.Second
	lastWords   = 20 // lines that the error about a crash repeats: a trace has that many
)

// sayings is what a plugin writes on its output: lines for the log, bounded in length and number.
type sayings struct {
	log   *slog.Logger
	now   func() time.Time
	clean func(string) string

	mu      sync.Mutex
	rest    bytes.Buffer
	tail    []string
	since   time.Time
	count   int
	dropped int
}

func (s *sayings) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		line, more, found := bytes.Cut(b, []byte("\n"))
		s.rest.Write(line[:min(len(line), longestSaid-min(longestSaid, s.rest.Len()))])
		b = more
		if found {
			s.line()
		}
	}
	return n, nil
}

// line takes what is in rest. It needs the lock.
func (s *sayings) line() {
	text := s.clean(s.rest.String())
	s.rest.Reset()
	if text == "" {
		return
	}
	if s.tail = append(s.tail, text); len(s.tail) > lastWords {
		s.tail = s.tail[1:]
	}
	if now := s.now(); now.Sub(s.since) > logEach {
		if s.dropped > 0 {
			s.log.Warn("plugin said more than is kept", "lines", s.dropped)
		}
		s.since, s.count, s.dropped = now, 0, 0
	}
	if s.count++; s.count > mostSaid {
		s.dropped++
		return
	}
	s.log.Info("plugin says", "line", text)
}

// last is what was said last, for the error about its end.
func (s *sayings) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rest.Len() > 0 {
		s.line()
	}
	return strings.Join(s.tail, " · ")
}

// clean makes a text from a plugin fit to be shown: without its secrets and without what steers a terminal, and short.
func (h *host) clean(text string) string {
	for _, secret := range h.config.secrets {
		if len(secret) >= 4 {
			text = strings.ReplaceAll(text, secret, "(sensitive)")
		}
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == unicode.ReplacementChar || unicode.IsControl(r):
			return -1
		}
		return r
	}, text)
	if text = strings.TrimSpace(text); len(text) > longestSaid {
		text = strings.ToValidUTF8(text[:longestSaid], "") + "…"
	}
	return text
}

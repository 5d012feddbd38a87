package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Switches are how an account differs from a usual one. The zero value is a usual one.
type Switches struct {
	OldestFirst bool          // lists begin with the oldest
	MaxResults  int           // the most alerts a page may have; 0 is 100
	EventDelay  time.Duration // from an event to what comes of it
	EventBody   bool          // events are answered 200 with a body, as they once were
	RateOff     bool          // nobody counts requests
	Older       bool          // an older version: no severity, labels and merges
	Novel       bool          // a newer version: members and values that nobody has heard of
	AgainOK     bool          // a second accept is no mistake
	Language    string        // of log entries: "en" or "de"
}

// A Usage is one line of help: what to write and what it does.
type Usage struct{ Text, What string }

type setting struct {
	name, value, what string
	set               func(w *Switches, v string) error
}

func flag(of func(w *Switches) *bool, on, off string) func(*Switches, string) error {
	return func(w *Switches, v string) error {
		if v != on && v != off {
			return fmt.Errorf("write %s or %s", on, off)
		}
		*of(w) = v == on
		return nil
	}
}

var settings = []setting{
	{"order", "oldest", "lists begin with the oldest, not with the newest", flag(func(w *Switches) *bool { return &w.OldestFirst }, "oldest", "newest")},
	{"max-results", "50", "the most alerts that may be asked for at once; more is refused", func(w *Switches, v string) (err error) {
		if w.MaxResults, err = strconv.Atoi(v); err != nil || w.MaxResults < 1 {
			return fmt.Errorf("write a number from 1")
		}
		return nil
	}},
	{"event-delay", "2s", "how long an event waits before it is carried out", func(w *Switches, v string) (err error) {
		if w.EventDelay, err = time.ParseDuration(v); err != nil || w.EventDelay < 0 {
			return fmt.Errorf("write a duration such as 2s")
		}
		return nil
	}},
	{"event-body", "on", "events are answered 200 with a body, not 202 without", flag(func(w *Switches) *bool { return &w.EventBody }, "on", "off")},
	{"rate", "off", "nobody counts requests: else 120 a minute and API key, 50 a minute and integration key", flag(func(w *Switches) *bool { return &w.RateOff }, "off", "on")},
	{"version", "older", "an older version: alerts have no severity, labels and merges", func(w *Switches, v string) error {
		w.Older, w.Novel = v == "older", v == "newer"
		if !w.Older && !w.Novel && v != "usual" {
			return fmt.Errorf("write older, usual or newer; newer has members and values that nobody has heard of")
		}
		return nil
	}},
	{"accept-again", "ok", "accepting or resolving twice is answered 200, not 400", flag(func(w *Switches) *bool { return &w.AgainOK }, "ok", "refused")},
	{"language", "de", "of the log's entries", func(w *Switches, v string) error {
		if v != "en" && v != "de" {
			return fmt.Errorf("write en or de")
		}
		w.Language = v
		return nil
	}},
}

// SwitchExamples lists the switches, each with a value that it may have.
func SwitchExamples() []Usage {
	var out []Usage
	for _, s := range settings {
		out = append(out, Usage{s.name + "=" + s.value, s.what})
	}
	return out
}

// Switch turns one switch, NAME=VALUE.
func (s *Server) Switch(text string) error {
	name, value, _ := strings.Cut(text, "=")
	for _, w := range settings {
		if w.name == name {
			s.mu.Lock()
			defer s.mu.Unlock()
			if err := w.set(&s.switches, value); err != nil {
				return fmt.Errorf("switch %q: %w", text, err)
			}
			return nil
		}
	}
	return fmt.Errorf("there is no switch %q", name)
}

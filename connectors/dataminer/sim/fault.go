package sim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// A Usage is one line of help: what can be written and what it does.
type Usage struct{ Text, What string }

// switches are what a system can be, the standard first.
var switches = []struct {
	name   string
	values []string
	what   string
}{
	{"generation", []string{"legacy", "sdm", "none"}, "which ticketing there is"},
	{"link", []string{"root", "record", "root-alone"}, "by which number a ticket names its alarm, and whether its element beside it"},
	{"refusal", []string{"200", "500"}, "how a wrong password is answered: with a message inside a success, or as an error"},
	{"envelope", []string{"d", "bare"}, "whether results stand in a member d"},
	{"missing", []string{"null", "error"}, "how an id that does not exist is answered"},
	{"available", []string{"objects", "names"}, "the form in which the defined alarm properties are listed"},
	{"unset", []string{"empty", "left-out"}, "whether the details of an alarm have properties without a value"},
	{"exceptions", []string{"typed", "plain"}, "whether errors name the type of the exception"},
	{"rate", []string{"0", "100"}, "calls a minute that the bridge's token may make; 0 is no limit"},
}

func standards() map[string]string {
	m := map[string]string{}
	for _, w := range switches {
		m[w.name] = w.values[0]
	}
	return m
}

// SwitchExamples lists the switches.
func SwitchExamples() []Usage {
	var out []Usage
	for _, w := range switches {
		out = append(out, Usage{w.name + "=" + strings.Join(w.values, "|"), w.what})
	}
	return out
}

// Switch makes the system one of another kind: NAME=VALUE.
func (s *Server) Switch(text string) error {
	name, value, _ := strings.Cut(text, "=")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range switches {
		if w.name != name {
			continue
		}
		if n, err := strconv.Atoi(value); name == "rate" && err == nil && n >= 0 {
			s.switches[name] = value
			return nil
		}
		for _, v := range w.values {
			if v == value {
				s.switches[name] = value
				return nil
			}
		}
		return fmt.Errorf("switch %s is one of %s", name, strings.Join(w.values, ", "))
	}
	return fmt.Errorf("there is no switch %q", name)
}

// A fault strikes the Nth request of a method.
type fault struct {
	kind   string
	method string
	n      int
	before bool // the request is not carried out
	status int
}

var faultKinds = map[string]struct {
	before bool
	status int
	what   string
}{
	"recycle":   {what: "the web server restarts right before: all sessions are gone"},
	"502":       {before: true, status: http.StatusBadGateway, what: "a gateway answers, nothing is carried out"},
	"503":       {before: true, status: http.StatusServiceUnavailable, what: "the web server is not ready, nothing is carried out"},
	"500-after": {status: http.StatusInternalServerError, what: "it is carried out, and a plain 500 answers"},
	"page":      {before: true, status: http.StatusOK, what: "a web page answers as a success, nothing is carried out"},
	"reset":     {what: "it is carried out, and the connection breaks without an answer"},
	"cut":       {what: "it is carried out, and half of the answer arrives"},
}

// FaultKinds lists what can go wrong.
func FaultKinds() []Usage {
	var out []Usage
	for _, kind := range []string{"recycle", "502", "503", "500-after", "page", "reset", "cut"} {
		out = append(out, Usage{kind, faultKinds[kind].what})
	}
	return out
}

// Fault lets the Nth request of a method, or of a route of the bridge, go wrong: KIND:METHOD:n=N. METHOD "*" is any.
func (s *Server) Fault(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "n=") {
		return fmt.Errorf("fault %q: write KIND:METHOD:n=N, for example recycle:GetElementsForView:n=2", text)
	}
	kind, ok := faultKinds[parts[0]]
	n, err := strconv.Atoi(parts[2][2:])
	if !ok || err != nil || n < 1 {
		return fmt.Errorf("fault %q: there is no such kind, or N is no number from 1", text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault{parts[0], parts[1], n, kind.before, kind.status})
	return nil
}

// strike counts a request and returns the fault that strikes it, if any.
func (s *Server) strike(name string) *fault {
	var struck *fault
	for _, f := range s.faults {
		if f.method != "*" && !strings.EqualFold(f.method, name) {
			continue
		}
		if f.n--; f.n == 0 {
			struck = f
		}
	}
	if struck != nil && struck.kind == "recycle" {
		clear(s.sessions)
	}
	return struck
}

// reply answers in place of the system, for the faults that do.
func (f *fault) reply(w http.ResponseWriter) bool {
	switch f.kind {
	case "502", "503", "500-after", "page":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.status)
		_, _ = w.Write([]byte("<html><title>Not what you wanted</title></html>"))
		return true
	case "reset":
		panic(http.ErrAbortHandler) // the way in which net/http lets a handler break the connection
	}
	return false
}

// limited counts a call of the bridge and reports whether it is one too many.
func (s *Server) limited() bool {
	limit, _ := strconv.Atoi(s.switches["rate"])
	if limit == 0 {
		return false
	}
	now := s.now()
	for len(s.calls) > 0 && now.Sub(s.calls[0]) >= perLimit {
		s.calls = s.calls[1:]
	}
	s.calls = append(s.calls, now)
	return len(s.calls) > limit
}

package sim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// A faultKind is what happens instead of an answer, or after the request had its effect.
type faultKind struct {
	name, what string
	after      bool
	reset      bool
	reply      reply
}

var gateway = reply{status: http.StatusBadGateway, kind: "text/html", raw: []byte("<html><head><title>502 Bad Gateway</title></head></html>")}

var faultKinds = []faultKind{
	{name: "500-before", what: "500, and nothing has happened", reply: failure(http.StatusInternalServerError, "Internal server error", "")},
	{name: "500-after", what: "500, though the request took effect", after: true, reply: failure(http.StatusInternalServerError, "Internal server error", "")},
	{name: "502", what: "502 with a web page, nothing has happened", reply: gateway},
	{name: "429", what: "a limit is reached: 429 without any header that says when it ends", reply: failure(http.StatusTooManyRequests, "Too many requests", "")},
	{name: "402", what: "the plan does not cover it", reply: failure(http.StatusPaymentRequired, "Upgrade your plan", "FEATURE_REQUIRED")},
	{name: "403", what: "the key is no longer valid", reply: failure(http.StatusForbidden, "The provided API key is not valid", "KEY_ERROR")},
	{name: "scope", what: "the token lacks a scope", reply: reply{status: http.StatusForbidden, body: map[string]any{"status": 403, "message": "Scope missing", "code": "OAUTH2_SCOPE_ERROR", "scope": "alert:w"}}},
	{name: "html", what: "200 with a web page", reply: reply{status: http.StatusOK, kind: "text/html", raw: []byte("<html><body>Welcome</body></html>")}},
	{name: "cut", what: "200 with JSON that ends in the middle", reply: reply{status: http.StatusOK, raw: []byte(`[{"id":1,"summ`)}},
	{name: "reset-before", what: "the connection breaks, and nothing has happened", reset: true},
	{name: "reset-after", what: "the connection breaks after the request took effect", after: true, reset: true},
}

// FaultKinds lists the kinds of faults.
func FaultKinds() []Usage {
	var out []Usage
	for _, k := range faultKinds {
		out = append(out, Usage{k.name, k.what})
	}
	return out
}

// striking is a fault with the requests that fit so far.
type striking struct {
	faultKind
	method, path string
	nth, count   int
}

// Fault lets requests go wrong: KIND[:METHOD PATH][:n=N], where METHOD PATH is a method, a part of a path, or both, and
// N counts the requests that fit. Without n all of them do.
func (s *Server) Fault(text string) error {
	parts := strings.Split(text, ":")
	f := &striking{}
	for _, k := range faultKinds {
		if k.name == parts[0] {
			f.faultKind = k
		}
	}
	if f.name == "" {
		return fmt.Errorf("fault %q: there is no kind %q", text, parts[0])
	}
	for _, part := range parts[1:] {
		if n, ok := strings.CutPrefix(part, "n="); ok {
			var err error
			if f.nth, err = strconv.Atoi(n); err != nil || f.nth < 1 {
				return fmt.Errorf("fault %q: %q is no count", text, n)
			}
			continue
		}
		for word := range strings.FieldsSeq(part) {
			if word == strings.ToUpper(word) {
				f.method = word
			} else {
				f.path = word
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
	return nil
}

// struck is the fault that a request meets, or nil.
func (s *Server) struck(r *http.Request) *striking {
	for _, f := range s.faults {
		if f.method != "" && f.method != r.Method || !strings.Contains(r.URL.Path, f.path) {
			continue
		}
		if f.count++; f.nth == 0 || f.count == f.nth {
			return f
		}
	}
	return nil
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

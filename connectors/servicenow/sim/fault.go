package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Fault makes requests go wrong that an instance would have answered. Which ones is decided by counting the
// requests that fit, so that the same requests and the same Options.Seed meet the same faults.
type Fault struct {
	Kind   string        // one of FaultKinds
	Method string        // GET, POST, …; "reads" or "writes"; "" is any
	Table  string        // "" is any
	Nth    int           // strikes the Nth request that fits, and that one alone; 0 goes by Rate
	Rate   float64       // the part of the requests that it strikes; 0 is every one
	Wait   time.Duration // of the slow kinds; 0 is a minute
}

// A Usage is one line of help: what to write and what it does.
type Usage struct{ Text, What string }

// A faultKind is what happens instead of an answer, or to it.
type faultKind struct {
	name, what string
	after      bool // the request has had its effect
	change     func(out reply) reply
	reset      bool
	slow       bool
	revoke     bool // the token of the request ends
	cut        bool // of a batch: its time ends in the middle
}

// The texts of answers that come from before or behind the REST layer.
var (
	cancelled = &failure{http.StatusInternalServerError, "Transaction cancelled: maximum execution time exceeded",
		"Transaction cancelled: maximum execution time exceeded Check logs for error trace or enable glide.rest.debug property to verify REST request processing"}
	hibernating = webPage(http.StatusOK, "Instance Hibernating page", "<h1>Your instance is hibernating</h1><p>Sign in to the developer site to wake it.</p>")
	loginPage   = webPage(http.StatusOK, "ServiceNow", `<form action="login.do" method="post"><input name="user_name"><input name="user_password" type="password"><button name="sysverb_login">Log in</button></form>`)
	queueFull   = webPage(http.StatusTooManyRequests, "429 Too Many Requests", "<h1>Too many requests</h1>")
	sessionBusy = reply{status: http.StatusAccepted, header: http.Header{}}
)

// webPage is an answer for browsers.
func webPage(status int, title, body string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {"text/html;charset=UTF-8"}},
		body: []byte("<html><head><title>" + title + "</title></head><body>" + body + "</body></html>")}
}

func gateway(status int) func(reply) reply {
	return func(reply) reply {
		text := strconv.Itoa(status) + " " + http.StatusText(status)
		return webPage(status, text, "<h1>"+text+"</h1>")
	}
}

func always(out reply) func(reply) reply { return func(reply) reply { return out } }

var faultKinds = []faultKind{
	{name: "500-before", what: "500, and nothing has happened", change: func(reply) reply { return failed(cancelled) }},
	{name: "500-after", what: "500, though the request took effect", after: true, change: func(reply) reply { return failed(cancelled) }},
	{name: "502", what: "502 with a web page, nothing has happened", change: gateway(http.StatusBadGateway)},
	{name: "503", what: "503 with a web page, nothing has happened", change: gateway(http.StatusServiceUnavailable)},
	{name: "504", what: "504 with a web page, nothing has happened", change: gateway(http.StatusGatewayTimeout)},
	{name: "504-after", what: "504 with a web page, though the request took effect", after: true, change: gateway(http.StatusGatewayTimeout)},
	{name: "reset-before", what: "the connection breaks, and nothing has happened", reset: true},
	{name: "reset-after", what: "the connection breaks after the request took effect", after: true, reset: true},
	{name: "slow-before", what: "the request waits, then takes effect; nothing happens when the client has gone", slow: true},
	{name: "slow-after", what: "the request takes effect at once and is answered late", after: true, slow: true},
	{name: "cut-valid", what: "a success loses rows and has an error behind them, in valid JSON", after: true, change: cutValid},
	{name: "cut-broken", what: "a success ends within a row, with an error behind it", after: true, change: cutBroken},
	{name: "hibernation", what: "200 with the page of a developer instance that sleeps", change: always(hibernating)},
	{name: "login", what: "200 with a log-in page", change: always(loginPage)},
	{name: "401", what: "the log-in is refused", change: func(reply) reply { return failed(unauthenticated) }},
	{name: "revoked", what: "the access token of the request stops being valid, and the request is refused", revoke: true, change: func(reply) reply { return failed(unauthenticated) }},
	{name: "batch-cut", what: "the time of a batch ends in the middle: the request that runs then takes effect and is listed as not serviced", after: true, cut: true, change: func(out reply) reply { return out }},
	{name: "429", what: "the queue is full: 429 without rate headers", change: always(queueFull)},
	{name: "202", what: "the session is busy: 202 without content", change: always(sessionBusy)},
}

// FaultKinds lists the kinds of faults.
func FaultKinds() []Usage {
	var out []Usage
	for _, k := range faultKinds {
		out = append(out, Usage{k.name, k.what})
	}
	return out
}

// FaultExamples shows how faults are written.
func FaultExamples() []Usage {
	return []Usage{
		{"500-after:POST incident:rate=0.1", "a tenth of the creates"},
		{"reset-before:PATCH:n=3", "the third change, on whatever table"},
		{"cut-broken:GET incident:n=2", "the second page of incidents"},
		{"503:reads:rate=0.05", "one read in twenty"},
		{"slow-after:writes:n=1,wait=90s", "the first write is answered after a minute and a half"},
		{"401:n=5", "the fifth request of all"},
		{"503:oauth_token:n=1", "the first request for a token"},
		{"batch-cut:batch:n=1", "a batch that runs out of time"},
		{"revoked:incident:n=2", "a token that ends in the middle of a run"},
	}
}

// ParseFault reads KIND[:[METHOD] [TABLE]][:n=N|rate=R[,wait=D]], see FaultExamples.
func ParseFault(text string) (Fault, error) {
	parts := strings.Split(text, ":")
	f := Fault{Kind: strings.TrimSpace(parts[0])}
	for i, part := range parts[1:] {
		var err error
		switch {
		case strings.Contains(part, "="):
			err = f.when(part)
		case i == 0:
			err = f.what(part)
		default:
			err = fmt.Errorf("%q is neither n=N, rate=R nor wait=D", part)
		}
		if err != nil {
			return Fault{}, fmt.Errorf("fault %q: %w", text, err)
		}
	}
	if err := f.check(); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", text, err)
	}
	return f, nil
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "reads", "writes"}

func (f *Fault) what(part string) error {
	for word := range strings.FieldsSeq(part) {
		switch {
		case slices.Contains(methods, word) && f.Method == "":
			f.Method = word
		case f.Table == "" && strings.ToLower(word) == word:
			f.Table = word
		default:
			return fmt.Errorf("%q is no request: write a method (%s), a table, or both", part, strings.Join(methods, ", "))
		}
	}
	return nil
}

func (f *Fault) when(part string) error {
	for pair := range strings.SplitSeq(part, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		var err error
		switch name {
		case "n":
			f.Nth, err = strconv.Atoi(value)
			if err == nil && f.Nth < 1 {
				err = errors.New("requests are counted from 1")
			}
		case "rate":
			f.Rate, err = strconv.ParseFloat(value, 64)
			if err == nil && !(f.Rate > 0 && f.Rate <= 1) {
				err = errors.New("a rate is more than 0 and at most 1")
			}
		case "wait":
			f.Wait, err = time.ParseDuration(value)
		default:
			err = errors.New("write n=N, rate=R or wait=D")
		}
		if err != nil {
			return fmt.Errorf("%q: %w", pair, err)
		}
	}
	return nil
}

func (f *Fault) check() error {
	switch {
	case f.kind() == nil:
		var names []string
		for _, k := range faultKinds {
			names = append(names, k.name)
		}
		return fmt.Errorf("there is no kind %q; there are %s", f.Kind, strings.Join(names, ", "))
	case f.Nth > 0 && f.Rate > 0:
		return errors.New("n and rate exclude each other")
	case f.Wait > 0 && !f.kind().slow:
		return fmt.Errorf("only slow-before and slow-after wait, not %s", f.Kind)
	case f.Nth < 0 || f.Rate < 0 || f.Rate > 1 || f.Wait < 0:
		return errors.New("n, rate and wait are out of range")
	}
	return nil
}

func (f *Fault) kind() *faultKind {
	i := slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name == f.Kind })
	if i < 0 {
		return nil
	}
	return &faultKinds[i]
}

func (f *Fault) fits(c *call) bool {
	table := ""
	switch {
	case len(c.path) == 0:
	case c.path[0] == "attachment":
		table = "sys_attachment"
	case len(c.path) > 1:
		table = c.path[1]
	case c.path[0] == "oauth_token", c.path[0] == "batch":
		table = c.path[0]
	}
	switch f.Method {
	case "":
	case "reads", "writes":
		if c.reading() != (f.Method == "reads") {
			return false
		}
	default:
		if c.method != f.Method {
			return false
		}
	}
	return f.Table == "" || f.Table == table
}

// A planned is a fault with what it has seen so far.
type planned struct {
	Fault
	seen   int
	random *rand.Rand
}

// Fault adds a fault to those that may strike from now on. The first that strikes a request is its fault.
func (s *Server) Fault(f Fault) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	s.faultMu.Lock()
	defer s.faultMu.Unlock()
	s.faultCount++
	s.faults = append(s.faults, &planned{Fault: f, random: rand.New(rand.NewPCG(uint64(s.options.Seed), uint64(s.faultCount)))})
	return nil
}

// Calm takes all faults away.
func (s *Server) Calm() {
	s.faultMu.Lock()
	defer s.faultMu.Unlock()
	s.faults = nil
}

// struck finds the fault of a request. Every fault counts every request that fits it, whichever strikes: the
// faults of one do not depend on which others there are.
func (s *Server) struck(c *call) *Fault {
	s.faultMu.Lock()
	defer s.faultMu.Unlock()
	var first *Fault
	for _, p := range s.faults {
		if !p.fits(c) {
			continue
		}
		p.seen++
		hit := true
		switch {
		case p.Nth > 0:
			hit = p.seen == p.Nth
		case p.Rate > 0:
			hit = p.random.Float64() < p.Rate
		}
		if hit && first == nil {
			first = &p.Fault
		}
	}
	return first
}

// suffer answers a request that a fault struck. whole is false where the connection is to break.
func (s *Server) suffer(c *call, f *Fault) (out reply, whole bool) {
	k := f.kind()
	if !k.after {
		switch {
		case k.reset:
			return reply{}, false
		case !k.slow:
			if k.revoke {
				s.Revoke(false)
			}
			if out = k.change(reply{}); out.status == http.StatusUnauthorized && c.URL.Path == tokenPath {
				out = accessDenied()
			}
			return out, true
		case !c.linger(f.Wait):
			return reply{}, false
		}
		return s.effect(c), true
	}
	c.cut = k.cut
	out = s.effect(c)
	switch {
	case k.reset:
		return out, false
	case k.slow:
		return out, c.linger(f.Wait)
	}
	return k.change(out), true
}

// linger waits, and reports whether the client is still there.
func (c *call) linger(wait time.Duration) bool {
	if wait == 0 {
		wait = time.Minute
	}
	// A server notices that its client has gone only once the body of the request is read.
	if c.body == nil && !c.reading() {
		body, err := io.ReadAll(io.LimitReader(c.Body, maxFile+1))
		if err != nil {
			return false
		}
		c.Body = io.NopCloser(bytes.NewReader(body))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.Context().Done():
		return false
	}
}

// breakOff ends a connection in the middle of an answer that never came.
func breakOff(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // how net/http wants to be told where a connection cannot be taken over
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset instead of an orderly end
	}
	_ = conn.Close()
}

var appended = func() []byte {
	b := quote([]byte(`"error":{"detail":`), cancelled.detail)
	return append(quote(append(b, `,"message":`...), cancelled.message), `},"status":"failure"}`...)
}()

// cutValid is what an instance sends that runs out of time while it writes rows: some of them, then the error.
func cutValid(out reply) reply {
	var envelope struct{ Result json.RawMessage }
	if out.status > 299 || json.Unmarshal(out.body, &envelope) != nil || envelope.Result == nil {
		return out
	}
	var rows []json.RawMessage
	if json.Unmarshal(envelope.Result, &rows) == nil {
		envelope.Result = append([]byte{'['}, bytes.Join(toBytes(rows[:len(rows)/2]), []byte{','})...)
		envelope.Result = append(envelope.Result, ']')
	}
	out.body = slices.Concat([]byte(`{"result":`), envelope.Result, []byte{','}, appended)
	return out
}

func toBytes(rows []json.RawMessage) [][]byte {
	out := make([][]byte, len(rows))
	for i, r := range rows {
		out[i] = r
	}
	return out
}

// cutBroken is the same in the middle of a row.
func cutBroken(out reply) reply {
	if out.status > 299 || !bytes.HasPrefix(out.body, []byte(`{"result":`)) {
		return out
	}
	out.body = slices.Concat(out.body[:max(len(out.body)*2/3, len(`{"result":`))], []byte{','}, appended)
	return out
}

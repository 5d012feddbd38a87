package dataminer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/fieldsync/fieldsync/connectors"
)

const (
	// refusedFor is how long a refused log-in is not tried again: a run has many calls, and accounts lock.
	refusedFor = 10 * time.Second
	// loginTime is what one log-in may take, whoever waits for it.
	loginTime = time.Minute
	// leaveTime is what logging out may take. Nothing is lost without it: the session ends by itself.
	leaveTime = 2 * time.Second
	// noSession is what an Agent may give in place of a connection.
	noSession = "00000000-0000-0000-0000-000000000000"
)

// A session is the connection of the Web Services, which all calls share: it is opened when it is first needed and
// again when the Agent has forgotten it.
type session struct {
	web      *web
	auth     Auth
	requests singleflight.Group

	mu        sync.Mutex
	id        string
	hello     hello
	refused   error
	refusedAt time.Time
}

// hello is what a log-in tells, as far as it is used.
type hello struct {
	Connection  string
	Message     string
	MessageType string
	Version     string `json:"DMAVersion"`
	User        struct{ Name, FullName string }
	Security    map[string]bool // what the user may do
	Licenses    map[string]bool
}

// UnmarshalJSON reads the user where it is an object or a name: its shape is not published.
func (h *hello) UnmarshalJSON(b []byte) error {
	var raw struct {
		Connection, Message, MessageType string
		Version                          string `json:"DMAVersion"`
		User                             json.RawMessage
		Security, Licenses               map[string]any
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*h = hello{Connection: raw.Connection, Message: raw.Message, MessageType: raw.MessageType, Version: raw.Version, Security: flags(raw.Security), Licenses: flags(raw.Licenses)}
	if json.Unmarshal(raw.User, &h.User) != nil {
		_ = json.Unmarshal(raw.User, &h.User.Name) // it is for people alone
	}
	return nil
}

// flags are the members that are true or false.
func flags(members map[string]any) map[string]bool {
	m := map[string]bool{}
	for name, v := range members {
		if b, ok := v.(bool); ok {
			m[name] = b
		}
	}
	return m
}

func newSession(w *web, auth Auth) *session { return &session{web: w, auth: auth} }

// get returns a session that is not the one called old, which has ended; "" takes any. However many ask, one log-in is
// under way.
func (s *session) get(ctx context.Context, op, old string) (string, error) {
	s.mu.Lock()
	id, refused := s.id, s.refused
	if age := s.web.now().Sub(s.refusedAt); age < 0 || age >= refusedFor {
		refused = nil
	}
	s.mu.Unlock()
	switch {
	case id != "" && id != old:
		return id, nil
	case refused != nil:
		return "", under(refused, op)
	}
	// The log-in belongs to all who wait for it: it does not end with the context of the first.
	got := s.requests.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginTime)
		defer cancel()
		return s.open(ctx, old)
	})
	select {
	case r := <-got:
		if r.Err != nil {
			return "", under(r.Err, op)
		}
		return r.Val.(string), nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", op, ctx.Err())
	}
}

// under is a failure to log in, under the name of the operation that needed it.
func under(err error, op string) error {
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", op, err)
	}
	own := *e
	own.Op = op
	return &own
}

// open logs in. ConnectAppAndInfo and not ConnectApp: it tells version and user in the same call.
func (s *session) open(ctx context.Context, old string) (string, error) {
	s.mu.Lock()
	if s.id != "" && s.id != old {
		defer s.mu.Unlock()
		return s.id, nil // somebody was quicker
	}
	s.mu.Unlock()
	h, err := s.login(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.id = ""
		if errors.Is(err, connectors.ErrAuth) {
			s.refused, s.refusedAt = err, s.web.now()
		}
		return "", err
	}
	s.id, s.hello, s.refused = h.Connection, *h, nil
	s.web.log.Debug("logged in", "host", hostOf(s.web.root), "version", h.Version, "again", old != "")
	return h.Connection, nil
}

func (s *session) login(ctx context.Context) (*hello, error) {
	const op = "log in"
	machine, _ := os.Hostname() // it is for the Agent's list of clients
	// All parameters must be there, and host must be empty.
	r, err := s.web.request(op, "ConnectAppAndInfo", false, params{
		"host": "", "login": s.auth.Username, "password": s.auth.Password.Reveal(),
		"clientAppName": "fieldsync", "clientAppVersion": "1", "clientComputerName": machine,
	})
	if err != nil {
		return nil, err
	}
	// A log-in that met a gateway was not looked at. One whose answer is lost leaves a session that ends by itself.
	a, err := s.web.send(ctx, r)
	if err != nil {
		return nil, err
	}
	result, err := s.web.result(r, a)
	if err != nil {
		// Which exception stands for a wrong password is not published: an Agent that answers and gives no session has refused.
		e, ok := errors.AsType[*connectors.Error](err)
		if ok && (errors.Is(err, connectors.ErrRefused) || errors.Is(err, connectors.ErrDenied) || errors.Is(err, errLost)) {
			return nil, s.refusal(e.Detail)
		}
		if ok && errors.Is(err, connectors.ErrAuth) {
			e.Hint = s.hint()
		}
		return nil, err
	}
	var h hello
	if err := json.Unmarshal(result, &h); err != nil {
		return nil, distrust(r, "the answer to the log-in is not the JSON that is expected")
	}
	switch {
	case strings.EqualFold(h.MessageType, "Challenge"):
		return nil, s.refusal("the account asks for a second step: " + shorten(h.Message))
	case h.Connection == "" || h.Connection == noSession:
		// A refused log-in can be a success to HTTP.
		return nil, s.refusal(shorten(strings.TrimSpace(h.MessageType + " " + h.Message)))
	case h.Message != "":
		s.web.log.Warn("the system says something at log-in", "host", hostOf(s.web.root), "message", shorten(h.Message))
	}
	return &h, nil
}

func (s *session) hint() string {
	return fmt.Sprintf("check username %q and its password, and that the user may log in to the web apps; an account with a second step cannot be used", s.auth.Username)
}

func (s *session) refusal(detail string) error {
	if detail == "" {
		detail = "the system gives no session"
	}
	return &connectors.Error{Kind: connectors.ErrAuth, Op: "log in", Detail: detail, Hint: s.hint()}
}

// end logs out, if there is somebody to log out.
func (s *session) end() {
	s.mu.Lock()
	id := s.id
	s.id = ""
	s.mu.Unlock()
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	r, err := s.web.request("log out", "LogOut", true, params{"connection": id})
	if err == nil {
		_, err = s.web.send(ctx, r)
	}
	if err != nil {
		s.web.log.Debug("not logged out", "host", hostOf(s.web.root), "err", err)
	}
}

// told is what the last log-in told.
func (s *session) told() hello {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hello
}

// post is the method of all calls.
const post = http.MethodPost

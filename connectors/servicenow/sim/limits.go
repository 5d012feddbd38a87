package sim

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limits count what the web tier lets through.
type limits struct {
	mu       sync.Mutex
	running  int
	sessions map[string]int        // requests in flight, by session
	hours    map[string]hourlyRate // by login
}

type hourlyRate struct {
	hour time.Time
	used int
}

// admit lets a request in or answers it at once: the queue of the node, the session that its cookie names, the
// hourly rate of its user. leave must be called when it has been answered. headers go with every answer that
// a rate rule is about.
func (s *Server) admit(c *call) (leave func(), refusal *reply, headers http.Header) {
	w, l := s.on(), &s.limits
	session := ""
	if cookie, err := c.Cookie(sessionCookie); err == nil {
		session = cookie.Value
	}
	now := s.time()
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.Queue > 0 && l.running >= w.Queue {
		return func() {}, &queueFull, nil
	}
	if w.Sessions > 0 && session != "" && l.sessions[session] >= w.Sessions {
		return func() {}, &sessionBusy, nil
	}
	if w.HourlyRate > 0 && c.user != nil {
		hour := now.Truncate(time.Hour)
		h := l.hours[c.user.Login]
		if !h.hour.Equal(hour) {
			h = hourlyRate{hour: hour}
		}
		h.used++
		if l.hours == nil {
			l.hours = map[string]hourlyRate{}
		}
		l.hours[c.user.Login] = h
		headers = rateHeaders(w.HourlyRate, hour)
		if h.used > w.HourlyRate {
			out := failed(rateExceeded(w.HourlyRate))
			headers.Set("Retry-After", strconv.Itoa(int(hour.Add(time.Hour).Sub(now).Seconds())))
			return func() {}, &out, headers
		}
	}
	l.running++
	if session != "" {
		if l.sessions == nil {
			l.sessions = map[string]int{}
		}
		l.sessions[session]++
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running--
		if session != "" {
			if l.sessions[session]--; l.sessions[session] == 0 {
				delete(l.sessions, session)
			}
		}
	}, nil, headers
}

func rateHeaders(limit int, hour time.Time) http.Header {
	h := http.Header{}
	h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(hour.Add(time.Hour).Unix(), 10))
	h.Set("X-RateLimit-Rule", "3f2c9e0b1b2310107a1c43f1604bcb61")
	return h
}

// sessionCookie binds requests to one session.
const sessionCookie = "glide_session_store"

// session is the session of a request: the one its cookie names, else a new one.
func (c *call) session(n int64) string {
	if cookie, err := c.Cookie(sessionCookie); err == nil {
		return cookie.Value
	}
	return strconv.FormatInt(n, 16)
}

package guard_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A script answers each request with the next of its answers, the last one for ever.
type script struct {
	answers []answer
	mu      sync.Mutex
	bodies  []string
	at      []time.Duration
	start   time.Time
}

type answer struct {
	status     int // 0: the connection breaks
	retryAfter string
	err        error // what breaks it; nil: a reset
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := ""
	if r.Body != nil {
		all, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		b = string(all)
	}
	a := s.answers[min(len(s.bodies), len(s.answers)-1)]
	s.bodies, s.at = append(s.bodies, b), append(s.at, time.Since(s.start))
	if a.err != nil {
		return nil, &net.OpError{Op: "dial", Err: a.err}
	}
	if a.status == 0 {
		return nil, &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	}
	h := http.Header{}
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

func TestWhatIsSentAgain(t *testing.T) {
	for _, c := range []struct {
		name, method string
		answers      []answer
		sent, status int // status 0: an error
	}{
		{"a read after a reset", "GET", []answer{{}, {}, {status: 200}}, 3, 200},
		{"a read that always breaks", "GET", []answer{{}}, 5, 0},
		{"a read after 502, 503 and 504", "GET", []answer{{status: 502}, {status: 503}, {status: 504}, {status: 200}}, 4, 200},
		{"a read after 429", "HEAD", []answer{{status: 429}, {status: 200}}, 2, 200},
		{"a read that is always refused", "GET", []answer{{status: 503}}, 5, 503},
		{"a read twice when the connection is refused", "GET", []answer{{err: syscall.ECONNREFUSED}}, 2, 0},
		{"a read twice when nobody answers", "GET", []answer{{err: os.ErrDeadlineExceeded}}, 2, 0},
		{"a read after one refused connection and a reset", "GET", []answer{{err: syscall.ECONNREFUSED}, {}, {status: 200}}, 3, 200},
		{"no read where nobody knows the name", "GET", []answer{{err: &net.DNSError{Err: "no such host", IsNotFound: true}}}, 1, 0},
		{"no read over TLS from a server that has none", "GET", []answer{{err: http.ErrSchemeMismatch}}, 1, 0},
		{"no read after 500", "GET", []answer{{status: 500}}, 1, 500},
		{"no read after 404", "GET", []answer{{status: 404}}, 1, 404},
		{"no read when the wait is too long", "GET", []answer{{status: 429, retryAfter: "31"}}, 1, 429},
		{"no write after a reset", "POST", []answer{{}, {status: 201}}, 1, 0},
		{"no write after 500", "POST", []answer{{status: 500}, {status: 201}}, 1, 500},
		{"no write after 502", "PATCH", []answer{{status: 502}, {status: 200}}, 1, 502},
		{"no write after 503 without a word", "PUT", []answer{{status: 503}, {status: 200}}, 1, 503},
		{"no write after 504", "DELETE", []answer{{status: 504, retryAfter: "1"}, {status: 200}}, 1, 504},
		{"no write when the wait is too long", "POST", []answer{{status: 429, retryAfter: "3600"}}, 1, 429},
		{"a write after 429 that names a time", "POST", []answer{{status: 429, retryAfter: "7"}, {status: 201}}, 2, 201},
		{"a write after 503 that names a time", "PATCH", []answer{{status: 503, retryAfter: "0"}, {status: 200}}, 2, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: c.answers, start: time.Now()}
				req, err := http.NewRequestWithContext(t.Context(), c.method, "http://system.test/x", nil)
				if err != nil {
					t.Fatal(err)
				}
				if c.method == "POST" {
					req.Body = io.NopCloser(strings.NewReader("payload"))
				}
				res, err := guard.Client(connectors.Limits{}, nil, s, nil).Do(req)
				status := 0
				if err == nil {
					status = res.StatusCode
					res.Body.Close()
				}
				if status != c.status || len(s.bodies) != c.sent {
					t.Errorf("sent %d times with status %d (%v), want %d times with %d", len(s.bodies), status, err, c.sent, c.status)
				}
				for _, b := range s.bodies {
					if c.method == "POST" && b != "payload" {
						t.Errorf("the body arrived as %q", b)
					}
				}
				if last := s.at[len(s.at)-1]; last > 2*time.Minute {
					t.Errorf("the last request was sent after %v", last)
				}
			})
		})
	}
}

// deaf never answers.
type deaf struct{ sent atomic.Int32 }

func (d *deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	d.sent.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAServerThatNeverAnsweredIsGivenUpSoonAndNotInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d, began := &deaf{}, time.Now()
		_, err := guard.Client(connectors.Limits{}, slog.New(slog.NewTextHandler(&log, nil)), d, nil).Get("http://system.test/x") //nolint:bodyclose // there is no answer
		if !errors.Is(err, connectors.ErrOffline) || !strings.Contains(connectors.Hint(err), "host and port") {
			t.Errorf("the error is %v, want one of a system that cannot be reached", err)
		}
		if took := time.Since(began); took != 30*time.Second || d.sent.Load() != 1 {
			t.Errorf("%d requests took %v, want one and 30s", d.sent.Load(), took)
		}
		if !strings.Contains(log.String(), `level=WARN msg="no answer yet; still waiting" method=GET host=system.test waited=10s`) {
			t.Errorf("the log says %q", log.String())
		}
	})
}

func TestTheServerSaysHowLongToWait(t *testing.T) {
	for _, form := range []string{"7", "date"} {
		synctest.Test(t, func(t *testing.T) {
			if form == "date" {
				form = time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat)
			}
			s := &script{answers: []answer{{status: 429, retryAfter: form}, {status: 200}}, start: time.Now()}
			res, err := guard.Client(connectors.Limits{}, nil, s, nil).Get("http://system.test/x")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := s.at[1].Round(time.Second); got != 7*time.Second {
				t.Errorf("the second request was sent after %v, want 7s", got)
			}
		})
	}
}

func TestACancelledContextEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{status: 429, retryAfter: "25"}}, start: time.Now()}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://system.test/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := guard.Client(connectors.Limits{}, nil, s, nil).Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v, want the deadline's", err)
		}
		if took := time.Since(s.start); took != 3*time.Second {
			t.Errorf("it took %v, want 3s", took)
		}
	})
}

func TestTheRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{status: 200}}, start: time.Now()}
		client := guard.Client(connectors.Limits{Rate: 10, Concurrency: 2}, nil, s, nil)
		for range 22 {
			res, err := client.Get("http://system.test/x")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
		if took := time.Since(s.start).Round(100 * time.Millisecond); took != 2*time.Second {
			t.Errorf("22 requests at 10/s with two at once took %v, want 2s", took)
		}
	})
}

type slow struct{ now, most atomic.Int64 }

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	n := s.now.Add(1)
	for m := s.most.Load(); n > m && !s.most.CompareAndSwap(m, n); m = s.most.Load() {
	}
	time.Sleep(time.Second) // of the bubble's time
	return &http.Response{StatusCode: 200, Body: &counted{s}, Request: r}, nil
}

type counted struct{ s *slow }

func (c *counted) Read([]byte) (int, error) { return 0, io.EOF }
func (c *counted) Close() error             { c.s.now.Add(-1); return nil }

func TestConcurrencyIsBoundedUntilTheBodyIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		client := guard.Client(connectors.Limits{Concurrency: 3}, nil, s, nil)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				res, err := client.Get("http://system.test/x")
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
			})
		}
		wg.Wait()
		if most := s.most.Load(); most != 3 {
			t.Errorf("%d requests were in flight at once, want 3", most)
		}
	})
}

func TestAWriteReachesTheServerOnce(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter){
		"when the server fails": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"when the connection is reset": func(w http.ResponseWriter) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var posts atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					return
				}
				if b, err := io.ReadAll(r.Body); err == nil && string(b) == "payload" {
					posts.Add(1)
				}
				fail(w)
			}))
			defer srv.Close()
			client := guard.Client(connectors.Limits{}, nil, nil, nil)
			defer client.CloseIdleConnections()
			for range 3 { // the first read leaves a connection open that the write then takes
				res, err := client.Get(srv.URL)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
			res, err := client.Post(srv.URL, "text/plain", strings.NewReader("payload"))
			if err == nil {
				res.Body.Close()
			}
			if n := posts.Load(); n != 1 {
				t.Errorf("the body arrived %d times (%v), want once", n, err)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a stranger got %s with authorization %q", r.Method, r.Header.Get("Authorization"))
	}))
	defer stranger.Close()
	var moved atomic.Int64
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, stranger.URL, http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, "/moved", http.StatusFound)
		case "/moved":
			moved.Add(1)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "s"})
		if len(r.Cookies()) > 0 {
			t.Error("a cookie came back")
		}
	}))
	defer home.Close()
	client := guard.Client(connectors.Limits{}, nil, nil, nil)
	defer client.CloseIdleConnections()
	do := func(method, path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, home.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("u", "p")
		res, err := client.Do(req)
		if err == nil {
			res.Body.Close()
		}
		return res, err
	}
	for _, method := range []string{"GET", "POST"} {
		if _, err := do(method, "/away"); !errors.Is(err, connectors.ErrConfig) || connectors.Hint(err) == "" {
			t.Errorf("%s to another server gives %v, want ErrConfig with a hint", method, err)
		}
	}
	if res, err := do("GET", "/near"); err != nil || res.StatusCode != 200 || moved.Load() != 1 {
		t.Errorf("a read that moved on the same server gives %v", err)
	}
	if res, err := do("POST", "/near"); err != nil || res.StatusCode != http.StatusFound || moved.Load() != 1 {
		t.Errorf("a write that moved gives %v, want its 302", err)
	}
	if _, err := do("GET", "/round"); !errors.Is(err, connectors.ErrProtocol) {
		t.Errorf("a circle gives %v, want ErrProtocol", err)
	}
}

func TestAnUnknownCertificateIsRefusedAtOnce(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	begun := time.Now()
	_, err := guard.Client(connectors.Limits{}, nil, nil, nil).Get(srv.URL)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the error is %v, want one about the certificate", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v: it was tried again", took)
	}
	if guard.Transport(connectors.Limits{}).Proxy == nil {
		t.Error("HTTPS_PROXY is not honoured")
	}
}

// Each combination of abilities is kept, and none to write appears.
type (
	scans     struct{ connectors.Collection }
	describes struct{ connectors.Describer }
	finds     struct{ connectors.Finder }
	requires  struct{}
	writes    struct {
		connectors.Creator
		connectors.Updater
		connectors.Deleter
	}
)

func (requires) Require(context.Context, []string) error { return nil }

func TestReadOnlyKeepsWhatReadsAndHidesWhatWrites(t *testing.T) {
	s := memory.New(memory.Text("a")...)
	s.Threads, s.Files = []connectors.Thread{{Path: "c"}}, []connectors.Thread{{Path: "f"}}
	w, d, f := writes{s, s, s}, describes{s}, finds{s}
	for name, c := range map[string]connectors.Collection{
		"nothing": struct {
			scans
			writes
		}{scans{s}, w},
		"describe": struct {
			scans
			writes
			describes
		}{scans{s}, w, d},
		"find": struct {
			scans
			writes
			finds
		}{scans{s}, w, f},
		"require": struct {
			scans
			writes
			requires
		}{scans{s}, w, requires{}},
		"describe find": struct {
			scans
			writes
			describes
			finds
		}{scans{s}, w, d, f},
		"describe require": struct {
			scans
			writes
			describes
			requires
		}{scans{s}, w, d, requires{}},
		"find require": struct {
			scans
			writes
			finds
			requires
		}{scans{s}, w, f, requires{}},
		"describe find require": struct {
			scans
			writes
			describes
			finds
			requires
		}{scans{s}, w, d, f, requires{}},
		"comment": struct {
			scans
			writes
			connectors.Commenter
		}{scans{s}, w, s},
		"comment describe find": s,
		"attach find": struct {
			scans
			writes
			finds
			connectors.Attacher
		}{scans{s}, w, f, s},
		"comment find require": struct {
			scans
			writes
			finds
			requires
			connectors.Commenter
		}{scans{s}, w, f, requires{}, s},
	} {
		t.Run(name, func(t *testing.T) {
			r := guard.ReadOnly(c)
			_, creates := r.(connectors.Creator) // not even a method
			_, updates := r.(connectors.Updater)
			_, deletes := r.(connectors.Deleter)
			_, comments := r.(connectors.Commenter)
			_, attaches := r.(connectors.Attacher)
			if creates || updates || deletes || comments || attaches {
				t.Error("it can still write")
			}
			_, describes := connectors.As[connectors.Describer](r)
			_, finds := connectors.As[connectors.Finder](r)
			_, requires := connectors.As[connectors.Requirer](r)
			_, hears := connectors.As[connectors.CommentReader](r)
			_, opens := connectors.As[connectors.AttachmentReader](r)
			if opens != (name == "attach find" || name == "comment describe find") {
				t.Errorf("ability to list files: %v", opens)
			}
			_, splits := connectors.As[connectors.Splitter](r)
			if _, could := connectors.As[connectors.Splitter](c); splits != could {
				t.Errorf("ability to split: %v", splits)
			}
			// Who calls without asking is told, and nothing panics.
			if err := r.(connectors.Finder).Find(t.Context(), []string{"a"}, "a", nil, func(record.Record) error { return nil }); !finds && !errors.Is(err, connectors.ErrConfig) {
				t.Errorf("a search that is not there gives %v", err)
			}
			for ability, has := range map[string]bool{"describe": describes, "find": finds, "require": requires, "comment": hears} {
				if has != strings.Contains(name, ability) {
					t.Errorf("ability to %s: %v", ability, has)
				}
			}
			s.Add(record.Fields{"a": record.OfText("x")})
			n := 0
			if _, err := r.Scan(t.Context(), connectors.Query{Paths: []string{"a"}}, func(record.Record) error { n++; return nil }); err != nil || n != s.Len() {
				t.Errorf("a scan gives %d records and %v", n, err)
			}
		})
	}
}

func TestEachAttemptIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []guard.Attempt
		s := &script{answers: []answer{{status: 503}, {status: 200}}, start: time.Now()}
		client := guard.Client(connectors.Limits{Rate: 0.5, Concurrency: 1}, nil, s, func(_ context.Context, a guard.Attempt) { told = append(told, a) })
		res, err := client.Get("http://system.test/x?secret=1")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if len(told) != 2 || told[0].Status != 503 || told[1].Status != 200 {
			t.Fatalf("told of %+v, want an attempt that was refused and one that was not", told)
		}
		if a := told[1]; a.Method != "GET" || a.Host != "system.test" || a.Path != "/x" {
			t.Errorf("told of %s %s %s: want the path without the query", a.Method, a.Host, a.Path)
		}
		if told[0].Waited != 0 || told[1].Waited < time.Second || told[1].Waited > 2*time.Second {
			t.Errorf("waited %v and %v for a request each two seconds, tried again after half a second", told[0].Waited, told[1].Waited)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://system.test/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Do(req); !errors.Is(err, context.Canceled) { //nolint:bodyclose // there is no answer
			t.Errorf("a request that was given up ends with %v", err)
		}
	})
}

package servertest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// A Way leads to a server, and can be cut: nothing arrives then, and nobody is told.
type Way struct {
	URL string // the server's, by this way

	to  string
	cut atomic.Bool

	mu   sync.Mutex
	open []net.Conn
}

// NewWay makes a way to the server of a URL. It ends with the test.
func NewWay(t testing.TB, server string) *Way {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Way{to: u.Host}
	u.Host = l.Addr().String()
	w.URL = u.String()
	t.Cleanup(func() { l.Close(); w.drop() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.lead(c)
		}
	}()
	return w
}

// Cut cuts the way.
func (w *Way) Cut() { w.cut.Store(true) }

// Mend opens the way again. What was open before is closed, as by a network that is back and knows of nothing.
func (w *Way) Mend() {
	w.cut.Store(false)
	w.drop()
}

func (w *Way) lead(c net.Conn) {
	defer c.Close()
	w.keep(c)
	if w.cut.Load() {
		io.Copy(io.Discard, c) // until somebody loses patience
		return
	}
	s, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer s.Close()
	w.keep(s)
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{c, s}, {s, c}} {
		both.Go(func() {
			defer pair[0].Close()
			defer pair[1].Close()
			buf := make([]byte, 32<<10)
			for {
				n, err := pair[0].Read(buf)
				if w.cut.Load() {
					io.Copy(io.Discard, pair[0])
					return
				}
				if n > 0 {
					if _, err := pair[1].Write(buf[:n]); err != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		})
	}
	both.Wait()
}

func (w *Way) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = append(w.open, c)
}

func (w *Way) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

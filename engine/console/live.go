package console

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A stream says at most so often that something is new, and so often that it is still there.
const (
	breath    = 500 * time.Millisecond
	heartbeat = 20 * time.Second
)

// live tells an open page which syncs have something new, as server-sent events; the page then asks for what it shows.
// So what is new has one way into a page, and a slow reader is told less often, not more.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	select {
	case c.open <- struct{}{}:
		defer func() { <-c.open }()
	default:
		http.Error(w, "too many pages are open; this one is not kept up to date", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if c.o.Stop != nil {
		defer context.AfterFunc(c.o.Stop, cancel)()
	}
	seen, _ := strconv.ParseUint(r.URL.Query().Get("seen"), 10, 64) // what is no number was never told
	news := c.b.Watch(ctx, seen)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	// A stream lives longer than an ordinary answer may take.
	_ = out.SetWriteDeadline(time.Time{}) // not every server sets one
	send := func(format string, args ...any) bool {
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && out.Flush() == nil
	}
	if !send("retry: 2000\n: fieldsync\n\n") {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if !send(": still here\n\n") {
				return
			}
		case syncs, ok := <-news:
			if !ok || !send("event: news\ndata: %s\n\n", strings.Join(syncs, " ")) {
				return
			}
			rest := time.NewTimer(breath)
			select {
			case <-ctx.Done():
				rest.Stop()
				return
			case <-rest.C:
			}
		}
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/plan"
	"github.com/fieldsync/fieldsync/engine/record"
)

// lying is a system whose files are not what it says of them.
type lying struct {
	*memory.Store
	say  func(*connectors.Attachment)
	send func(io.Reader) io.Reader
	sent int64
}

func (l *lying) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	return l.Store.Attachments(ctx, path, keys, since, func(key string, a connectors.Attachment) error {
		if l.say != nil {
			l.say(&a)
		}
		return emit(key, a)
	})
}

func (l *lying) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	r, err := l.Store.OpenAttachment(ctx, path, key, id)
	if err != nil || l.send == nil {
		return r, err
	}
	return io.NopCloser(&counting{l.send(r), &l.sent}), nil
}

type counting struct {
	io.Reader
	n *int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	*c.n += int64(n)
	return n, err
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func TestASystemThatLiesAboutAFileIsCaught(t *testing.T) {
	for _, tt := range []struct {
		name    string
		say     func(*connectors.Attachment)
		send    func(io.Reader) io.Reader
		outcome plan.Outcome
		why     string
		waits   int
	}{
		{"more bytes than it says and than may be read", nil, func(io.Reader) io.Reader { return endless{} }, plan.Skipped, "more than 1 MiB", 0},
		{"fewer bytes than it says", nil, func(r io.Reader) io.Reader { return io.LimitReader(r, 2) }, plan.Failed, "says 4 bytes and delivers 2", 1},
		{"another content than its hash is of", nil, func(io.Reader) io.Reader { return strings.NewReader("boo!") }, plan.Failed, "does not have the hash", 1},
		{"no size, and endless", func(a *connectors.Attachment) { a.Size, a.Hash = -1, "" }, func(io.Reader) io.Reader { return endless{} }, plan.Skipped, "more than 1 MiB", 0},
		{"a content that breaks off", nil, func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 2), breaking{}) }, plan.Failed, "cut off", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			w := filing(t)
			l := &lying{Store: w.ticket, say: tt.say, send: tt.send}
			w.job.Ends[record.Left].Handle = l
			w.toTicket("router.log", "boot")
			_, results, err := w.tryApply(engine.Approval{})
			if err != nil || len(results) != 1 || results[0].Outcome != tt.outcome || !strings.Contains(results[0].Why, tt.why) || results[0].Hint == "" {
				t.Fatalf("results %+v, %v; want one that is %s: %s", results, err, tt.outcome, tt.why)
			}
			if l.sent > w.rules.Attachments.MaxSize+1<<16 {
				t.Errorf("%d bytes were read of it", l.sent)
			}
			w.wantFiles("nothing is carried", []string{"router.log: boot"}, nil)
			if got := w.held(); len(got) != tt.waits {
				t.Errorf("waiting: %v, want %d", got, tt.waits)
			}
			if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
				t.Errorf("%d temporary files are left (%v)", len(left), err)
			}
			w.job.Full = true
			if tt.waits == 0 {
				w.wantPlan("and it is not tried for ever")
				return
			}
			l.say, l.send = nil, nil
			w.apply()
			w.wantFiles("when it tells the truth", []string{"router.log: boot"}, []string{"router.log: boot"})
			if got := w.held(); len(got) != 0 {
				t.Errorf("still waiting: %v", got)
			}
		})
	}
}

type breaking struct{}

func (breaking) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAnAttachmentWhoseAnswerIsLostIsNotAddedTwice(t *testing.T) {
	lost := &connectors.Error{Kind: connectors.ErrOutcome, Op: "attach", Detail: "time-out"}
	for _, hashes := range []bool{true, false} {
		for _, tt := range []struct {
			name    string
			after   bool // the file was added
			blind   bool // and cannot be looked for in the same run
			outcome plan.Outcome
		}{
			{"it was added, and is found at once", true, false, plan.Done},
			{"it was added, and the next run finds it", true, true, plan.Failed},
			{"it was not added, and the next run adds it", false, false, plan.Failed},
		} {
			t.Run(fmt.Sprintf("%s; systems tell hashes: %t", tt.name, hashes), func(t *testing.T) {
				w := filing(t)
				w.ticket.NoHash, w.incident.NoHash = !hashes, !hashes
				w.toTicket("router.log", "boot")
				sent := false
				w.incident.Hook = func(_ context.Context, op memory.Op) error {
					switch {
					case op.Name == "attach" && op.Done == tt.after:
						sent = true
						return lost
					case op.Name == "attachments" && sent && tt.blind:
						return &connectors.Error{Kind: connectors.ErrProtocol, Op: "attachments"}
					}
					return nil
				}
				_, results, err := w.tryApply(engine.Approval{})
				if err != nil || len(results) != 1 || results[0].Outcome != tt.outcome {
					t.Fatalf("results %+v, %v; want one that is %s", results, err, tt.outcome)
				}
				w.incident.Hook = nil
				w.toTicket("more.log", "reboot")
				w.minute()
				w.open()
				w.apply()
				w.minute()
				w.apply()
				files, _ := w.incident.Filed("attachments", "sys1")
				var names []string
				for _, f := range files {
					names = append(names, f.Name)
				}
				slices.Sort(names)
				if diff := cmp.Diff([]string{"more.log", "router.log"}, names); diff != "" {
					t.Errorf("each once (-want +got):\n%s", diff)
				}
				w.wantPlan("settled")
				if got := w.held(); len(got) != 0 {
					t.Errorf("still waiting: %v", got)
				}
			})
		}
	}
}

// settling is a system whose transactions may come to light a minute after they were sent.
type settling struct{ *memory.Store }

func (settling) Settles() time.Duration { return time.Minute }

func TestAnUploadThatMayStillAppearIsWaitedFor(t *testing.T) {
	w := filing(t)
	w.job.Ends[record.Right].Handle = settling{w.incident}
	w.toTicket("router.log", "boot")
	w.incident.Hook = func(_ context.Context, op memory.Op) error {
		if op.Name == "attach" {
			return &connectors.Error{Kind: connectors.ErrOutcome, Op: "attach"}
		}
		return nil
	}
	if _, _, err := w.tryApply(engine.Approval{}); err != nil {
		t.Fatal(err)
	}
	w.incident.Hook = nil
	waited := time.Duration(0)
	w.engine.Sleep = func(_ context.Context, d time.Duration) error {
		if waited += d; waited > 20*time.Second && waited-d <= 20*time.Second {
			w.toIncident("router.log", "boot") // it commits late
		}
		w.now = w.now.Add(d)
		return nil
	}
	w.apply()
	if waited < 20*time.Second || waited > time.Minute {
		t.Errorf("it was waited for %s", waited)
	}
	w.minute()
	w.apply()
	w.wantFiles("once", []string{"router.log: boot"}, []string{"router.log: boot"})
}

// A mortal state remembers nothing from the moment of its death on: the process is gone.
type mortal struct {
	engine.Store
	dead atomic.Bool
}

func (m *mortal) Book(ctx context.Context, sync string, paths [2][]string, fence int64) (engine.Book, error) {
	b, err := m.Store.Book(ctx, sync, paths, fence)
	return &mortalBook{b, m}, err
}

type mortalBook struct {
	engine.Book
	m *mortal
}

func (b *mortalBook) Intend(ctx context.Context, ins []*engine.Intent) error {
	if b.m.dead.Load() {
		return errDied
	}
	return b.Book.Intend(ctx, ins)
}

func (b *mortalBook) Fold(ctx context.Context, folds []engine.Fold) error {
	if b.m.dead.Load() {
		return errDied
	}
	return b.Book.Fold(ctx, folds)
}

func TestARunThatDiesAroundAnUploadIsFinishedByTheNext(t *testing.T) {
	for _, at := range []struct {
		name string
		side record.Side // whose system is called
		op   string
		done bool
	}{
		{"before the content is read", record.Left, "open", false},
		{"before the other side is looked at again", record.Right, "attachments", false},
		{"before the call", record.Right, "attach", false},
		{"after the call", record.Right, "attach", true},
	} {
		for nth := 1; nth <= 2; nth++ {
			t.Run(fmt.Sprintf("%s of file %d", at.name, nth), func(t *testing.T) {
				w := filing(t)
				w.toTicket("router.log", "boot")
				w.toTicket("second.log", "boot 2")
				m := &mortal{Store: w.engine.Store}
				w.engine.Store = m
				r, err := w.engine.Start(t.Context(), w.job)
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				hook := func(side record.Side) func(context.Context, memory.Op) error {
					return func(_ context.Context, op memory.Op) error {
						if side == at.side && op.Name == at.op && op.Done == at.done {
							n++
						}
						if n >= nth {
							m.dead.Store(true)
							return errDied
						}
						return nil
					}
				}
				w.ticket.Hook, w.incident.Hook = hook(record.Left), hook(record.Right)
				if _, err := r.Apply(t.Context(), engine.Approval{}); !errors.Is(err, errDied) {
					t.Fatalf("the run ended with %v, want its death", err)
				}
				r.Close()
				w.ticket.Hook, w.incident.Hook = nil, nil
				w.now = w.now.Add(time.Minute) // the lease of the dead process is over
				w.open()
				w.apply()
				w.apply()
				w.wantFiles("each once", []string{"router.log: boot", "second.log: boot 2"}, []string{"router.log: boot", "second.log: boot 2"})
				if got := w.held(); len(got) != 0 {
					t.Errorf("waiting: %v", got)
				}
				w.job.Full = true
				w.wantPlan("settled")
			})
		}
	}
	for _, when := range []string{"before the call", "after the call"} {
		t.Run("the state stops working "+when, func(t *testing.T) {
			w := filing(t)
			w.toTicket("router.log", "boot")
			store := w.engine.Store
			w.engine.Store = &dying{Store: store, at: when}
			if _, _, err := w.tryApply(engine.Approval{}); !errors.Is(err, errDied) {
				t.Fatalf("the run ended with %v, want its death", err)
			}
			w.engine.Store = store
			w.minute()
			w.apply()
			w.apply()
			w.wantFiles("once", []string{"router.log: boot"}, []string{"router.log: boot"})
		})
	}
}

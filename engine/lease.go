package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// leaseTTL is how long a sync stays locked after its process died.
const leaseTTL = 10 * time.Second

// ProcessName names a process of this machine as the owner of leases. An engine whose Owner has this form
// need not wait for the lease of a process that was killed.
func ProcessName(pid int) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s pid %d of %s", host, pid, machine())
}

// machine tells where process ids mean the same: the same start of the same machine, in the same container. Hosts may
// have the same name.
var machine = sync.OnceValue(func() string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid") // without /proc no process is ever known to have ended
	return fmt.Sprintf("%.3x", sha256.Sum256([]byte(string(boot)+space)))
})

// A lease is the right to run one sync, and what proves it. No two of them have the same owner or fence, not even in one
// process: of two runs there the earlier one may have been taken for dead.
type lease struct {
	store Store
	sync  string
	owner string
	fence int64
	until *until
}

// An until is how long a lease is known to last, by the clock of who has it.
type until struct {
	mu sync.Mutex
	at time.Time
}

// renewed is told when a renewal that succeeded was asked for.
func (u *until) renewed(asked time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.at = asked.Add(leaseTTL)
}

// past reports whether a lease may be over. A machine that slept has lost time by one of its two clocks at least.
func (u *until) past(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !now.Before(u.at) || !now.Round(0).Before(u.at.Round(0))
}

// lease takes the lease on a sync. One whose owner was a process of this machine that is not there any more is
// taken over at once: what it left in flight is recovered next, as after any crash. The fence keeps
// out an owner that was taken for dead and is not.
func (e *Engine) lease(ctx context.Context, sync string) (l lease, err error) {
	l = lease{store: e.Store, sync: sync, owner: e.owner() + " " + random(), until: &until{}}
	l.until.renewed(e.now())
	l.fence, err = e.Store.Lease(ctx, sync, l.owner, leaseTTL)
	held, ok := errors.AsType[*LeasedError](err)
	if !ok || !died(held.Owner) {
		return l, err
	}
	if err := e.Store.Release(ctx, sync, held.Owner); err != nil {
		return l, fmt.Errorf("take over from %s: %w", held.Owner, err)
	}
	l.until.renewed(e.now())
	l.fence, err = e.Store.Lease(ctx, sync, l.owner, leaseTTL)
	return l, err
}

// ours makes sure, right before a call that changes a system, that nobody else can have taken the sync. Its intent was
// made durable under the lease some time ago, with those of others, and the process may have stood still since.
func (r *Run) ours(ctx context.Context) error {
	if !r.leased {
		return errors.New("a preview writes nothing")
	}
	asked := r.now()
	if !r.lease.until.past(asked) {
		return nil
	}
	if err := r.lease.renew(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrLeaseLost, err)
	}
	r.lease.until.renewed(asked)
	return nil
}

// random tells what one process does from all else that it does.
func random() string { return strings.ToLower(rand.Text()[:6]) }

// renew has the lease for another while. Somebody else's fence in between is the end of it, also when they are done.
func (l lease) renew(ctx context.Context) error {
	fence, err := l.store.Lease(ctx, l.sync, l.owner, leaseTTL)
	if err == nil && fence != l.fence {
		return errors.Join(fmt.Errorf("another run had fence %d", fence-1), l.release(ctx))
	}
	return err
}

// release gives the lease back. A state that is away for a moment is waited for, or the next run would have to wait until
// the lease runs out.
func (l lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTTL/2)
	defer cancel()
	for {
		err := l.store.Release(ctx, l.sync, l.owner)
		if !errors.Is(err, ErrStateAway) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(leaseTTL / 20):
		}
	}
}

// keep renews the lease until ctx ends. It returns why the lease is lost: somebody else has it, or it could not be
// renewed for as long as it lasts. A state that is away for a while is no reason.
func (l lease) keep(ctx context.Context, now func() time.Time, log *slog.Logger) error {
	const pause = leaseTTL / 3
	until := time.Now().Add(leaseTTL)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		began, asked := time.Now(), now()
		asking, cancel := context.WithDeadline(ctx, until)
		err := l.renew(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			until = began.Add(leaseTTL)
			l.until.renewed(asked)
		case errors.Is(err, ErrLeased) || !errors.Is(err, ErrStateAway) || time.Until(until) < pause:
			return fmt.Errorf("%w: %w", ErrLeaseLost, err)
		default:
			log.Warn("the lease could not be renewed; trying again", "sync", l.sync, "err", err)
		}
	}
}

// died reports whether an owner is certain to be a process of this machine that has ended.
func died(owner string) bool {
	var pid int
	_, number, ok := strings.Cut(owner, " pid ")
	if _, err := fmt.Sscanf(number, "%d", &pid); !ok || err != nil || pid <= 0 {
		return false
	}
	if name := ProcessName(pid); owner != name && !strings.HasPrefix(owner, name+" ") {
		return false
	}
	p, err := os.FindProcess(pid)
	return err == nil && errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone) || zombie(pid)
}

// zombie reports whether a process has ended and its parent has not asked for its end yet. Where there is no /proc
// it is taken to live.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which stands in brackets and may hold anything.
	after := strings.TrimSpace(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X")
}

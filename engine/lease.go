package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// ProcessName names a process of this machine as the owner of leases. An engine whose Owner has this form
// need not wait for the lease of a process that was killed.
func ProcessName(pid int) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return fmt.Sprintf("%s pid %d", host, pid)
}

// lease takes the lease on a sync. One whose owner was a process of this machine that is not there any more is
// taken over at once: what it left in flight is recovered next, as after any crash. The fence keeps
// out an owner that was taken for dead and is not.
func (e *Engine) lease(ctx context.Context, sync string) (int64, error) {
	fence, err := e.Store.Lease(ctx, sync, e.owner(), leaseTTL)
	held, ok := errors.AsType[*LeasedError](err)
	if !ok || !died(held.Owner) {
		return fence, err
	}
	if err := e.Store.Release(ctx, sync, held.Owner); err != nil {
		return 0, fmt.Errorf("take over from %s: %w", held.Owner, err)
	}
	return e.Store.Lease(ctx, sync, e.owner(), leaseTTL)
}

// died reports whether an owner is certain to be a process of this machine that has ended.
func died(owner string) bool {
	var pid int
	_, number, ok := strings.Cut(owner, " pid ")
	if _, err := fmt.Sscanf(number, "%d", &pid); !ok || err != nil || pid <= 0 || owner != ProcessName(pid) {
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

package access

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Who fails to log in this often in a row has to wait before the next try is looked at.
const (
	tries    = 10
	tryAgain = 6 * time.Second
	peers    = 10_000 // that are remembered at a time
)

// A Brake slows down those who guess. It counts failures alone, by address; of IPv6 by the network that one customer has.
type Brake struct {
	mu   sync.Mutex
	list map[netip.Prefix]*rate.Limiter
}

// Allow reports whether peer may try.
func (b *Brake) Allow(peer string, now time.Time) bool {
	return b.of(peer).TokensAt(now) >= 1
}

// Failed counts a failure.
func (b *Brake) Failed(peer string, now time.Time) { b.of(peer).AllowN(now, 1) }

func (b *Brake) of(peer string) *rate.Limiter {
	var from netip.Prefix // all whose address cannot be read
	if at, err := netip.ParseAddrPort(peer); err == nil {
		addr, bits := at.Addr().Unmap().WithZone(""), 32
		if addr.Is6() {
			bits = 64
		}
		from, _ = addr.Prefix(bits)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.list[from]
	if l == nil {
		if b.list == nil || len(b.list) >= peers {
			b.list = map[netip.Prefix]*rate.Limiter{}
		}
		l = rate.NewLimiter(rate.Every(tryAgain), tries)
		b.list[from] = l
	}
	return l
}

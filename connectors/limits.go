package connectors

import "sync/atomic"

// Limits are the limits block of a connection. Zero fields mean the connector's own default.
type Limits struct {
	Rate        float64 // requests per second
	Concurrency int     // requests in flight
	// Share is how many processes keep to these limits together; nil: this one alone.
	Share *Share
}

// A Share is by how many processes limits are divided at the moment. The zero value is one.
type Share struct{ others atomic.Int64 }

// Set says how many there are, this one included.
func (s *Share) Set(n int) { s.others.Store(int64(max(n, 1)) - 1) }

// Of is how many there are.
func (s *Share) Of() int {
	if s == nil {
		return 1
	}
	return int(s.others.Load()) + 1
}

// Here is the part of the limits that this process may take now: an equal one, and one request in flight at least. The
// defaults of a connector are each process's own.
func (l Limits) Here() Limits {
	n := l.Share.Of()
	here := Limits{Rate: l.Rate / float64(n), Concurrency: l.Concurrency}
	if l.Concurrency > 0 {
		here.Concurrency = max(l.Concurrency/n, 1)
	}
	return here
}

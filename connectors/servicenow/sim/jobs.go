package sim

import (
	"slices"
	"time"
)

// A lateWrite is a transaction of a person that is still running.
type lateWrite struct {
	began, due time.Time
	commit     func()
}

// later runs a write when LateCommit is over; false if it is to run now. The caller holds the lock.
func (s *Server) later(t *table, commit func()) bool {
	wait := s.on().LateCommit
	if wait <= 0 || !t.is("task") {
		return false
	}
	now := s.clock()
	s.late = append(s.late, lateWrite{began: now, due: now.Add(wait), commit: commit})
	s.waiting.Store(true)
	return true
}

// work does what an instance does by itself, before anybody looks: it commits what is due, with the stamps of
// when it began, and closes what was resolved long ago.
func (s *Server) work() {
	days := s.on().AutoClose
	if days == 0 && !s.waiting.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	s.late = slices.DeleteFunc(s.late, func(w lateWrite) bool {
		if w.due.After(now) {
			return false
		}
		s.stamp = w.began
		w.commit()
		s.stamp = time.Time{}
		return true
	})
	s.waiting.Store(len(s.late) > 0)
	// The job runs every minute.
	if minute := now.Truncate(time.Minute); days > 0 && !minute.Equal(s.closedAt) {
		s.closedAt = minute
		s.closeResolved(now.AddDate(0, 0, -days))
	}
}

// closeResolved closes what was resolved until a time.
func (s *Server) closeResolved(until time.Time) {
	t := s.tables["incident"]
	t.settleAll()
	for _, r := range slices.Clone(t.rows()) {
		at, err := time.Parse(timeLayout, r.get("resolved_at"))
		if r.get("state") != stateResolved || err != nil || at.After(until) {
			continue
		}
		// A refusal stays with its record, as in the job.
		_ = s.update(r, r.t, &User{Login: "system", Roles: []string{"admin"}}, input{fields: map[string]string{"state": stateClosed}})
	}
}

// Rewrite changes a record as a script does that keeps rules and stamps out: nothing shows that it happened but
// the values themselves. It reports whether the record is there.
func (s *Server) Rewrite(table, sysID string, fields map[string]string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.row(table, sysID)
	if r == nil {
		return false
	}
	next := make([]string, len(r.t.cols))
	copy(next, r.v)
	for f, v := range fields {
		if i, ok := r.t.at[f]; ok {
			next[i] = v
		}
	}
	r.t.replace(r, next)
	return true
}

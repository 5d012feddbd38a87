package sim

import (
	"encoding/json"
	"fmt"
	"io"
)

// kept is what Save writes.
type kept struct {
	Defined []string          `json:"defined"`
	Alarms  map[string]*Alarm `json:"alarms"`
	Root    int64             `json:"root"`
}

// Save writes what is in the system, for Load.
func (s *Server) Save(w io.Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.NewEncoder(w).Encode(kept{s.defined, s.alarms, s.root})
}

// Load replaces what is in the system by what Save wrote.
func (s *Server) Load(r io.Reader) error {
	var k kept
	if err := json.NewDecoder(r).Decode(&k); err != nil {
		return fmt.Errorf("read saved alarms: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.defined, s.alarms, s.root = k.Defined, k.Alarms, k.Root
	if s.alarms == nil {
		s.alarms = map[string]*Alarm{}
	}
	return nil
}

package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
)

// kept is what Save writes: everything that is in the tables, by table and column.
type kept struct {
	Tables map[string]keptTable `json:"tables"`
	Files  map[string][]byte    `json:"files,omitempty"`
	Seed   uint64               `json:"seed"` // of the sys_ids to come, which must be others than those before
}

type keptTable struct {
	Counter int                 `json:"counter"`
	Rows    []map[string]string `json:"rows"`
}

// Save writes what is in the instance, for Load.
func (s *Server) Save(w io.Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := kept{Tables: map[string]keptTable{}, Files: s.files, Seed: s.random.Uint64()}
	for name, t := range s.tables {
		t.settle()
		kt := keptTable{Counter: t.counter}
		for _, r := range t.sorted {
			row := map[string]string{"sys_id": r.id}
			for i, v := range r.v {
				if v != "" {
					row[t.cols[i].name] = v
				}
			}
			kt.Rows = append(kt.Rows, row)
		}
		k.Tables[name] = kt
	}
	return json.NewEncoder(w).Encode(k)
}

// Load replaces what is in the instance by what Save wrote, past all rules. On an error the instance is half
// loaded and of no use.
func (s *Server) Load(r io.Reader) error {
	var k kept
	if err := json.NewDecoder(r).Decode(&k); err != nil {
		return fmt.Errorf("read a saved instance: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.random = rand.New(rand.NewPCG(k.Seed, 0x5eed))
	s.files = k.Files
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	s.choices = nil
	for name, kt := range k.Tables {
		t := s.tables[name]
		if t == nil {
			return fmt.Errorf("read a saved instance: no table %q here", name)
		}
		for _, old := range slices.Concat(t.sorted, t.fresh) {
			t.remove(old)
		}
		t.counter = kt.Counter
		for _, fields := range kt.Rows {
			row := &row{t: t, id: fields["sys_id"], v: make([]string, len(t.cols))}
			for col, v := range fields {
				if i, ok := t.at[col]; ok {
					row.v[i] = v
				}
			}
			t.put(row)
		}
	}
	return nil
}

package project

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

// FindConnection finds a connection by its name.
func (p *Project) FindConnection(name string) (*mapping.Connection, error) {
	if c, ok := p.Connection(name); ok {
		return c, nil
	}
	return nil, Hinted(fmt.Errorf("there is no connection %q in %s", name, p.Dir), "its connections are: "+strings.Join(ConnectionNames(p.Config), ", "))
}

// ConnectionNames are those of a mapping, in the order of its files.
func ConnectionNames(c *mapping.Config) []string {
	var names []string
	for _, n := range c.Connections {
		names = append(names, n.Name)
	}
	return names
}

// Pick finds syncs by name, all of them without names, each after those that it is to follow.
func (p *Project) Pick(names []string) ([]*mapping.Sync, error) {
	if len(p.Syncs) == 0 {
		return nil, Hinted(fmt.Errorf("the mapping in %s has no sync", p.Dir), "add a sync block, or name another folder with -d DIR")
	}
	var picked []*mapping.Sync
	for _, n := range names {
		s, err := p.Find(n)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(picked, s) {
			picked = append(picked, s)
		}
	}
	if len(names) == 0 {
		picked = p.Syncs
	}
	return inOrder(picked), nil
}

// Find finds one sync by name.
func (p *Project) Find(name string) (*mapping.Sync, error) {
	if s, ok := p.Sync(name); ok {
		return s, nil
	}
	return nil, Hinted(fmt.Errorf("there is no sync %q in %s", name, p.Dir), "its syncs are: "+strings.Join(SyncNames(p.Config), ", "))
}

// SyncNames are those of a mapping, in the order of its files.
func SyncNames(c *mapping.Config) []string {
	var names []string
	for _, s := range c.Syncs {
		names = append(names, s.Name)
	}
	return names
}

// inOrder sorts syncs so that each stands after those in its After; otherwise the order of the files stays.
// The mapping refuses circles.
func inOrder(syncs []*mapping.Sync) []*mapping.Sync {
	var sorted []*mapping.Sync
	visited := map[*mapping.Sync]bool{}
	var visit func(*mapping.Sync)
	visit = func(s *mapping.Sync) {
		if visited[s] {
			return
		}
		visited[s] = true
		for _, other := range syncs {
			if slices.Contains(s.After, other.Name) {
				visit(other)
			}
		}
		sorted = append(sorted, s)
	}
	for _, s := range syncs {
		visit(s)
	}
	return sorted
}

// InSync says which sync an error belongs to; diagnostics have their own places.
func InSync(name string, err error) error {
	if _, ok := errors.AsType[Diagnosed](err); ok {
		return err
	}
	return fmt.Errorf("sync %s: %w", name, err)
}

// SidesOf returns the names of a sync's sides, as the mapping gives them.
func (p *Project) SidesOf(sync string) [2]string {
	if s, ok := p.Sync(sync); ok {
		return [2]string{s.Sides[0].Name, s.Sides[1].Name}
	}
	return [2]string{record.Left.String(), record.Right.String()}
}

// SideNamed finds a side of a sync by its name.
func SideNamed(names [2]string, name string) (record.Side, error) {
	for _, s := range record.Sides {
		if names[s] == name {
			return s, nil
		}
	}
	hint := "add --take " + names[0] + " or --take " + names[1]
	if name == "" {
		return 0, Hinted(errors.New("no side was named"), hint)
	}
	return 0, Hinted(fmt.Errorf("there is no side %q", name), hint)
}

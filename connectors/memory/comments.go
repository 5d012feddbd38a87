package memory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A said comment is one of a record.
type said struct {
	path, key string
	connectors.Comment
}

// Say adds a comment as a person does and returns its ID.
func (s *Store) Say(path, key, author, text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.say(path, key, author, text).ID
}

// Said returns the comments of a record under a path, oldest first.
func (s *Store) Said(path, key string) []connectors.Comment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var cs []connectors.Comment
	for _, c := range s.comments {
		if c.path == path && c.key == key {
			cs = append(cs, c.Comment)
		}
	}
	return cs
}

func (s *Store) say(path, key, author, text string) connectors.Comment {
	c := connectors.Comment{ID: "c" + strconv.Itoa(len(s.comments)+1), Author: author, Time: s.now(), Text: strings.TrimSpace(text)}
	s.comments = append(s.comments, said{path, key, c})
	return c
}

func (s *Store) thread(op, path string) error {
	if slices.ContainsFunc(s.Threads, func(t connectors.Thread) bool { return t.Path == path }) {
		return nil
	}
	return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("there are no comments %q", path)}
}

// Comments emits the newest first, so that nobody gets used to an order.
func (s *Store) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	if err := s.hook(ctx, Op{Name: "comments"}); err != nil {
		return err
	}
	if err := s.thread("comments", path); err != nil {
		return err
	}
	s.mu.RLock()
	cs := slices.Clone(s.comments)
	s.mu.RUnlock()
	slices.Reverse(cs)
	for _, c := range cs {
		if c.path != path || keys != nil && !slices.Contains(keys, c.key) || c.Time.Before(since) {
			continue
		}
		if err := emit(c.key, c.Comment); err != nil {
			return err
		}
	}
	return s.hook(ctx, Op{Name: "comments", Done: true})
}

// AddComment stores a comment of fieldsync's own. It stamps the record, as systems with journals do.
func (s *Store) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := Op{Name: "comment", Key: key, Write: true}
	if err := s.hook(ctx, op); err != nil {
		return connectors.Comment{}, err
	}
	if err := s.thread("comment", path); err != nil {
		return connectors.Comment{}, err
	}
	s.mu.Lock()
	at, ok := s.byKey[key]
	if !ok {
		s.mu.Unlock()
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: "comment on " + key}
	}
	c := s.say(path, key, own, text)
	s.rows[at].edits++
	s.rows[at].modified = s.now()
	s.writes++
	s.mu.Unlock()
	op.Done = true
	if err := s.hook(ctx, op); err != nil {
		return connectors.Comment{}, err
	}
	return c, nil
}

// Revise changes the text of a comment as a person does.
func (s *Store) Revise(id, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.comments {
		if s.comments[i].ID == id {
			s.comments[i].Text = text
		}
	}
}

// EditComment changes the text of a comment that says was.
func (s *Store) EditComment(ctx context.Context, path, key, id, was, text string) (connectors.Comment, error) {
	op := Op{Name: "edit comment", Key: key, Write: true}
	if err := s.hook(ctx, op); err != nil {
		return connectors.Comment{}, err
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.comments, func(c said) bool { return c.path == path && c.key == key && c.ID == id })
	switch {
	case i < 0:
		s.mu.Unlock()
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: "edit comment " + id}
	case s.comments[i].Text != was:
		s.mu.Unlock()
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrStale, Op: "edit comment " + id}
	}
	s.comments[i].Text = strings.TrimSpace(text)
	c := s.comments[i].Comment
	s.writes++
	s.mu.Unlock()
	op.Done = true
	if err := s.hook(ctx, op); err != nil {
		return connectors.Comment{}, err
	}
	return c, nil
}

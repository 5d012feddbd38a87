package memory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// A filed attachment is one of a record.
type filed struct {
	path, key string
	connectors.Attachment
	content []byte
}

// AttachFile adds a file as a person does and returns its ID.
func (s *Store) AttachFile(path, key, author, name, kind string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file(path, key, connectors.Attachment{Name: name, Type: kind, Author: author}, content).ID
}

// RemoveFile deletes a file as a person does.
func (s *Store) RemoveFile(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filed = slices.DeleteFunc(s.filed, func(f filed) bool { return f.ID == id })
}

// Filed returns the files of a record under a path with their contents, oldest first.
func (s *Store) Filed(path, key string) (files []connectors.Attachment, contents [][]byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range s.filed {
		if f.path == path && f.key == key {
			files, contents = append(files, f.Attachment), append(contents, f.content)
		}
	}
	return files, contents
}

func (s *Store) file(path, key string, a connectors.Attachment, content []byte) connectors.Attachment {
	s.files++
	a.ID, a.Time, a.Size, a.Hash = "f"+strconv.Itoa(s.files), s.now(), int64(len(content)), ""
	if !s.NoHash {
		sum := sha256.Sum256(content)
		a.Hash = hex.EncodeToString(sum[:])
	}
	s.filed = append(s.filed, filed{path, key, a, content})
	return a
}

func (s *Store) kindOfFile(op, path string) error {
	if slices.ContainsFunc(s.Files, func(t connectors.Thread) bool { return t.Path == path }) {
		return nil
	}
	return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("there are no files %q", path)}
}

// Attachments emits the newest first, so that nobody gets used to an order.
func (s *Store) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	if err := s.hook(ctx, Op{Name: "attachments"}); err != nil {
		return err
	}
	if err := s.kindOfFile("attachments", path); err != nil {
		return err
	}
	s.mu.RLock()
	fs := slices.Clone(s.filed)
	s.mu.RUnlock()
	slices.Reverse(fs)
	for _, f := range fs {
		if f.path != path || keys != nil && !slices.Contains(keys, f.key) || f.Time.Before(since) {
			continue
		}
		if err := emit(f.key, f.Attachment); err != nil {
			return err
		}
	}
	return s.hook(ctx, Op{Name: "attachments", Done: true})
}

// OpenAttachment returns the content.
func (s *Store) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	if err := s.hook(ctx, Op{Name: "open", Key: key}); err != nil {
		return nil, err
	}
	if err := s.kindOfFile("open", path); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range s.filed {
		if f.path == path && f.key == key && f.ID == id {
			return io.NopCloser(bytes.NewReader(f.content)), nil
		}
	}
	return nil, &connectors.Error{Kind: connectors.ErrNotFound, Op: "open file " + id + " of " + key}
}

// Attach stores a file of fieldsync's own.
func (s *Store) Attach(ctx context.Context, path, key string, a connectors.Attachment, content io.ReadSeeker) (connectors.Attachment, error) {
	op := Op{Name: "attach", Key: key, Write: true}
	if err := s.hook(ctx, op); err != nil {
		return connectors.Attachment{}, err
	}
	if err := s.kindOfFile("attach", path); err != nil {
		return connectors.Attachment{}, err
	}
	body, err := io.ReadAll(content)
	if err != nil {
		return connectors.Attachment{}, fmt.Errorf("attach %s to %s: %w", a.Name, key, err)
	}
	s.mu.Lock()
	if _, ok := s.byKey[key]; !ok {
		s.mu.Unlock()
		return connectors.Attachment{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: "attach to " + key}
	}
	a.Author = "fieldsync"
	a = s.file(path, key, a, body)
	s.writes++
	s.mu.Unlock()
	op.Done = true
	if err := s.hook(ctx, op); err != nil {
		return connectors.Attachment{}, err
	}
	return a, nil
}

package engine_test

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

var filePaths = [2]string{"files", "attachments"}

// fileRules are the attachments block of a config; nil for none.
func (c config) fileRules() *reconcile.Attachments {
	if c.Files == [2]bool{} {
		return nil
	}
	return &reconcile.Attachments{At: "m.hcl:60", Paths: filePaths, To: c.Files, MaxSize: 1 << 20}
}

// A paper is a file that a person attached. Its content is nobody else's.
type paper struct {
	side record.Side
	key  string
	text string
	link int64 // of its record then; 0: none that it must be carried by
}

// attach lets a person attach a file.
func (w *history) attach(s *system, key, token string) {
	p := &paper{side: s.phys, key: key, text: "content of " + token + "."}
	s.m.AttachFile(filePaths[s.phys], key, "ann", "a file", "text/plain", []byte(p.text))
	w.busy = true
	if w.cfg.Files[s.phys.Other()] {
		if l := w.linkOf(s.phys, key); l != nil && w.together(l) {
			p.link = l.ID
		}
	}
	w.papers = append(w.papers, p)
}

// holders are the records with a file of this content, once for each such file.
func (s *system) holders(text string) (keys []string) {
	for _, key := range s.keys {
		_, contents := s.m.Filed(filePaths[s.phys], key)
		for _, c := range contents {
			if string(c) == text {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// checkFiles holds files against: once, whole, never back.
func (w *history) checkFiles() {
	for _, p := range w.papers {
		s, o := w.systems[p.side], w.systems[p.side.Other()]
		if n := len(s.holders(p.text)); n != 1 {
			w.problem("no echo: %s %s has %q %d times on its own side", s.name, p.key, p.text, n)
		}
		copies := o.holders(p.text)
		if len(copies) > 1 || len(copies) == 1 && !w.cfg.Files[o.phys] {
			w.problem("once: the file %q of %s %s was carried to %v", p.text, s.name, p.key, copies)
		}
		if l := w.linkOf(p.side, p.key); p.link != 0 && len(copies) == 0 && (l == nil || l.ID != p.link || !w.together(l)) {
			p.link = 0 // it parted before the file was carried
		}
	}
}

// checkFiled is what must be so in the end: every file of a pair has its copy.
func (w *history) checkFiled(when string) {
	for _, p := range w.papers {
		if p.link != 0 && len(w.systems[p.side.Other()].holders(p.text)) == 0 {
			w.problem("carried: %s the file %q of %s %s has no copy on the other side", when, p.text, w.systems[p.side].name, p.key)
		}
	}
}

func (s *client) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	name, n, kind, err := s.begin("attachments")
	switch {
	case err != nil:
		return err
	case kind != "":
		return nonsense(name)
	}
	if err := s.m.Attachments(ctx, path, keys, since, emit); err != nil {
		return err
	}
	return s.c.leave(name, n)
}

func (s *client) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	name, n, kind, err := s.begin("open")
	if err != nil {
		return nil, err
	}
	body, err := s.m.OpenAttachment(ctx, path, key, id)
	if err != nil {
		return nil, err
	}
	if kind != "" { // it breaks off in the middle
		return io.NopCloser(io.MultiReader(io.LimitReader(body, 3), broke{name})), nil
	}
	return body, s.c.leave(name, n)
}

// broke is the rest of a content that was cut off.
type broke struct{ op string }

func (b broke) Read([]byte) (int, error) { return 0, nonsense(b.op) }

func (s *client) Attach(ctx context.Context, path, key string, a connectors.Attachment, content io.ReadSeeker) (got connectors.Attachment, err error) {
	body, err := io.ReadAll(content)
	if err != nil {
		return got, err
	}
	err = s.write("attach", func() error {
		if s.w.planned != nil && !s.w.planned["attach "+s.name+" "+key] {
			s.w.problem("plan-faithful: the file %q of %s %s was not planned", body, s.name, key)
		}
		got, err = s.m.Attach(ctx, path, key, a, bytes.NewReader(body))
		return err
	})
	return got, err
}

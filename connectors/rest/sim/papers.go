package sim

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A paper is a file of a case. Its number is that of its place among all papers, from one.
type paper struct {
	no, title, kind string // of the case; of the paper
	content         []byte
	at              int64
}

// largest is more than papers have.
const largest = 10 << 20

// Attach adds a paper to a case as a person at the desk does.
func (d *Desk) Attach(no, title, kind string, content []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.find(no)
	if c == nil {
		return fmt.Errorf("there is no case %s", no)
	}
	d.keep(c, title, kind, content)
	return nil
}

// Papers lists the papers of a case with their contents, a line each.
func (d *Desk) Papers(no string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, p := range d.papers {
		if p.no == no {
			fmt.Fprintf(&b, "%s|%s|%s\n", p.title, p.kind, p.content)
		}
	}
	return b.String()
}

func (d *Desk) keep(c *one, title, kind string, content []byte) int {
	c.Touched = d.stamp()
	d.papers = append(d.papers, &paper{c.No, title, kind, content, c.Touched})
	return len(d.papers)
}

// file lists the papers of a case, shows the content of one as it is, or takes one as the body of a request.
func (d *Desk) file(w http.ResponseWriter, r *http.Request, c *one, below []string) {
	shown := func(id int) map[string]any {
		p := d.papers[id-1]
		return map[string]any{"id": id, "title": p.title, "kind": p.kind, "bytes": len(p.content), "when": p.at}
	}
	switch {
	case r.Method == http.MethodPost:
		content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
		title := r.URL.Query().Get("title")
		if err != nil || title == "" {
			fault(w, "E23", "a paper has a title, and at most 10 MiB")
			return
		}
		data(w, shown(d.keep(c, title, r.Header.Get("Content-Type"), content)))
	case len(below) == 0:
		rows := []any{}
		for i, p := range d.papers {
			if p.no == c.No {
				rows = append(rows, shown(i+1))
			}
		}
		data(w, map[string]any{"rows": rows})
	default:
		id, err := strconv.Atoi(below[0])
		if err != nil || id < 1 || id > len(d.papers) || d.papers[id-1].no != c.No {
			fault(w, "E04", "there is no paper "+below[0])
			return
		}
		w.Header().Set("Content-Type", d.papers[id-1].kind)
		_, _ = w.Write(d.papers[id-1].content)
	}
}

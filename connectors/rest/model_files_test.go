package rest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A file is one of the model.
type file struct {
	id         int
	name, kind string
	content    []byte
	at         string
}

func (m *model) upload(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil || int64(len(content)) != r.ContentLength {
		m.fail(w, 400, fmt.Sprintf("%d bytes of %d, %v", len(content), r.ContentLength, err))
		return
	}
	m.next++
	token := fmt.Sprintf("t-%d", m.next)
	m.blobs[token] = &file{content: content}
	m.say(w, 201, map[string]any{"token": token})
}

// drawer is where the files of an item are.
func (m *model) drawer(w http.ResponseWriter, r *http.Request, id int, below []string) {
	if r.Method == http.MethodPost {
		f, why := m.takes(r)
		if why != "" {
			m.fail(w, 422, why)
			return
		}
		m.next++
		f.id, f.at = m.next, m.stamp()
		m.kept[id] = append(m.kept[id], f)
		m.change(id, nil)
		if m.silent {
			w.WriteHeader(204)
			return
		}
		m.say(w, 201, []any{m.shows(f)})
		return
	}
	if len(below) == 0 {
		list := []any{}
		for _, f := range m.kept[id] {
			list = append(list, m.shows(f))
		}
		m.say(w, 200, map[string]any{"files": list})
		return
	}
	i := slices.IndexFunc(m.kept[id], func(f *file) bool { return strconv.Itoa(f.id) == below[0] })
	if i < 0 {
		m.fail(w, 404, "no such file")
		return
	}
	f := m.kept[id][i]
	if m.files == "inside" {
		m.say(w, 200, map[string]any{"data": base64.StdEncoding.EncodeToString(f.content)})
		return
	}
	w.Header().Set("Content-Type", f.kind)
	_, _ = w.Write(f.content)
}

func (m *model) shows(f *file) map[string]any {
	return map[string]any{"id": f.id, "name": f.name, "type": f.kind, "size": len(f.content), "at": f.at, "by": "sync", "link": fmt.Sprintf("%s/blob/%d?sig=1", m.store, f.id)}
}

// takes reads a file out of a request, as the model is switched.
func (m *model) takes(r *http.Request) (*file, string) {
	switch m.files {
	case "form", "link":
		if r.Header.Get("X-Check") != "no" || r.FormValue("about") == "" {
			return nil, "a header or a field is missing"
		}
		in, head, err := r.FormFile("upload")
		if err != nil {
			return nil, err.Error()
		}
		content, err := io.ReadAll(in)
		if err != nil {
			return nil, err.Error()
		}
		return &file{name: head.Filename, kind: head.Header.Get("Content-Type"), content: content}, ""
	case "raw":
		content, err := io.ReadAll(r.Body)
		if err != nil || int64(len(content)) != r.ContentLength {
			return nil, fmt.Sprintf("%d bytes of %d, %v", len(content), r.ContentLength, err)
		}
		return &file{name: r.URL.Query().Get("name"), kind: r.Header.Get("Content-Type"), content: content}, ""
	}
	var b struct {
		Files []struct{ Name, Type, Token, Data string }
	}
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil || len(b.Files) != 1 {
		return nil, fmt.Sprint("no file in the body: ", err)
	}
	f := &file{name: b.Files[0].Name, kind: b.Files[0].Type}
	if m.files == "token" {
		blob := m.blobs[b.Files[0].Token]
		if blob == nil {
			return nil, "no such token"
		}
		f.content = blob.content
		return f, ""
	}
	var err error
	if f.content, err = base64.StdEncoding.DecodeString(b.Files[0].Data); err != nil {
		return nil, err.Error()
	}
	return f, ""
}

// keepsElsewhere starts another server that has the contents, and takes nobody's credentials.
func (m *model) keepsElsewhere(t testing.TB) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "" || r.Header.Get("Authorization") != "" || r.URL.Query().Get("sig") != "1" {
			t.Errorf("%s came with credentials, or without its signature", r.URL)
			w.WriteHeader(400)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		id := strings.TrimPrefix(r.URL.Path, "/blob/")
		for _, list := range m.kept {
			for _, f := range list {
				if strconv.Itoa(f.id) == id {
					_, _ = w.Write(f.content)
					return
				}
			}
		}
		w.WriteHeader(404)
	}))
	t.Cleanup(srv.Close)
	m.store = srv.URL
}

// drawers is the attachments block of the model's description.
func (m *model) drawers() string {
	item := `item = "first(body)"`
	if m.silent {
		item = ""
	}
	open := map[string]string{"inside": "path = \"/api/items/{key}/files/{id}\"\n data = \"body.data\"", "link": "link = \"item.link\"\n elsewhere = true"}[m.files]
	if open == "" {
		open = `path = "/api/items/{key}/files/{id}"`
	}
	form := "add {\n path = \"/api/items/{key}/files\"\n body = \"multipart\"\n part = \"upload\"\n set = { about = \"item {key}\" }\n headers = { X-Check = \"no\" }\n" + item + "\n}"
	add := map[string]string{
		"form": form, "link": form,
		"raw":    "add {\n path = \"/api/items/{key}/files\"\n query = { name = \"{name}\" }\n body = \"raw\"\n" + item + "\n}",
		"token":  "upload {\n path = \"/api/uploads\"\n body = \"raw\"\n headers = { Content-Type = \"application/octet-stream\" }\n token = \"body.token\"\n}\nadd {\n path = \"/api/items/{key}/files\"\n set = { files = [{ name = \"{name}\", type = \"{type}\", token = \"{token}\" }] }\n" + item + "\n}",
		"inside": "add {\n path = \"/api/items/{key}/files\"\n set = { files = [{ name = \"{name}\", type = \"{type}\", data = \"{content}\" }] }\n" + item + "\n}",
	}[m.files]
	return `attachments "files" {
    id     = "item.id"
    name   = "item.name"
    type   = "item.type"
    size   = "item.size"
    time   = "item.at"
    author = "item.by"
    list {
      path  = "/api/items/{key}/files"
      items = "body.files"
    }
    open {
      ` + open + `
    }
    ` + add + `
  }`
}

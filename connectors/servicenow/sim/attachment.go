package sim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func attachmentColumns() []*column {
	return []*column{
		text("table_name", "Table name", 80), text("table_sys_id", "Table sys ID", 32), text("file_name", "File name", 100).shown(),
		text("content_type", "Content type", 100), of("integer", "size_bytes", "Size bytes"), of("integer", "size_compressed", "Size compressed"),
		of("boolean", "compressed", "Compressed").with("false"), text("hash", "Hash", 64), text("state", "State", 40).with("available"),
		of("integer", "chunk_size_bytes", "Chunk size bytes").with("700000"), text("average_image_color", "Average image color", 40),
		of("integer", "image_width", "Image width"), of("integer", "image_height", "Image height"),
	}
}

// attachmentAPI answers the calls for files and their metadata.
func (s *Server) attachmentAPI(c *call) reply {
	rest := c.path[1:]
	verb := c.method
	if verb == http.MethodHead {
		verb = http.MethodGet
	}
	switch {
	case verb == http.MethodPost && len(rest) == 1 && rest[0] == "file":
		return s.uploadRaw(c)
	case verb == http.MethodPost && len(rest) == 1 && rest[0] == "upload":
		return s.uploadForm(c)
	case verb == http.MethodGet && len(rest) == 0:
		return s.attachments(c)
	case len(rest) == 0 || len(rest) > 2:
		return failed(noResource)
	}
	if verb == http.MethodGet {
		s.share("sys_attachment")
		defer s.mu.RUnlock()
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	r := s.row("sys_attachment", rest[0])
	if r == nil || !s.readable(r, c.user) {
		return failed(noRecord)
	}
	switch {
	case verb == http.MethodGet && len(rest) == 2 && rest[1] == "file":
		h := http.Header{}
		h.Set("Content-Type", r.get("content_type"))
		h.Set("X-Attachment-Metadata", string(s.appendMeta(nil, r, c)))
		return reply{status: http.StatusOK, header: h, body: s.files[r.id]}
	case len(rest) == 2:
		return failed(noResource)
	case verb == http.MethodGet:
		b := s.appendMeta([]byte(`{"result":`), r, c)
		return reply{status: http.StatusOK, header: http.Header{}, body: append(b, '}')}
	case !s.writable(r.t, verb, c.user):
		return failed(denied("Update"))
	case verb == http.MethodDelete:
		s.remove(r, c.user)
		return reply{status: http.StatusNoContent, header: http.Header{}}
	case verb == http.MethodPatch:
		fields, fail := c.fields()
		if fail == nil {
			name := map[string]string{"file_name": fields["file_name"]}
			if name["file_name"] == "" {
				fail = missing("file_name")
			} else {
				fail = s.update(r, r.t, c.user, input{fields: name})
			}
		}
		if fail != nil {
			return failed(fail)
		}
		return reply{status: http.StatusNoContent, header: http.Header{}}
	}
	return failed(wrongMethod)
}

// attachments lists metadata; its default limit is smaller than that of a table.
func (s *Server) attachments(c *call) reply {
	s.share("sys_attachment")
	defer s.mu.RUnlock()
	offset, _ := strconv.Atoi(c.params.get("sysparm_offset")) // what is no number counts as not sent
	if offset < 0 {
		return failed(negativeOffset)
	}
	limit, err := strconv.Atoi(c.params.get("sysparm_limit"))
	if err != nil || limit < 1 {
		limit = 1000
	}
	t := s.tables["sys_attachment"]
	found := s.run(t, s.queryOf(c, t), offset, limit, true)
	b, n := []byte(`{"result":[`), 0
	for _, r := range found.rows {
		if !s.readable(r, c.user) {
			continue
		}
		if n > 0 {
			b = append(b, ',')
		}
		b = s.appendMeta(b, r, c)
		n++
	}
	h := http.Header{}
	h.Set("X-Total-Count", strconv.Itoa(found.total))
	if link := c.links(offset, limit, found.total); link != "" {
		h.Set("Link", link)
	}
	return reply{status: http.StatusOK, header: h, body: append(b, "]}"...)}
}

// appendMeta writes the metadata of a file, always raw and with the address of its content.
func (s *Server) appendMeta(b []byte, r *row, c *call) []byte {
	b = append(b, '{')
	for _, col := range r.t.cols {
		b = append(quote(b, col.name), ':')
		b = append(quote(b, r.get(col.name)), ',')
	}
	b = append(b, `"download_link":`...)
	return append(quote(b, c.api()+"/attachment/"+r.id+"/file"), '}')
}

func (s *Server) uploadRaw(c *call) reply {
	if c.Header.Get("Content-Type") == "" {
		return failed(missing("Content-Type"))
	}
	return s.attach(c, c.params.get("table_name"), c.params.get("table_sys_id"), c.params.get("file_name"), c.Header.Get("Content-Type"), c.body)
}

// uploadForm reads a form whose file comes last.
func (s *Server) uploadForm(c *call) reply {
	_, attributes, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || attributes["boundary"] == "" {
		return failed(unreadable("The request is not multipart/form-data"))
	}
	form := multipart.NewReader(strings.NewReader(string(c.body)), attributes["boundary"])
	values := map[string]string{}
	for {
		part, err := form.NextPart()
		if err != nil {
			return failed(missing("file"))
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return failed(unreadable("The request body ended early"))
		}
		if part.FileName() == "" {
			values[part.FormName()] = string(content)
			continue
		}
		return s.attach(c, values["table_name"], values["table_sys_id"], part.FileName(), part.Header.Get("Content-Type"), content)
	}
}

// attach stores a file with a record.
func (s *Server) attach(c *call, table, id, name, kind string, content []byte) reply {
	for _, p := range [][2]string{{"table_name", table}, {"table_sys_id", id}, {"file_name", name}} {
		if p[1] == "" {
			return failed(missing(p[0]))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.row(table, id)
	if target == nil || !s.readable(target, c.user) {
		return failed(noRecord)
	}
	if !s.writable(s.tables["sys_attachment"], http.MethodPost, c.user) || !s.mayUpdate(target, c.user) {
		return failed(denied("Insert"))
	}
	if most := int64(cmp.Or(s.on().MaxFile, maxFile)); int64(len(content)) > most {
		return failed(tooLarge(int64(len(content)), most))
	}
	if list := s.on().Extensions; list != "" && !slices.Contains(strings.Split(list, ","), strings.TrimPrefix(strings.ToLower(filepath.Ext(name)), ".")) {
		return failed(&failure{http.StatusForbidden, "Operation Failed", "File type is not allowed: " + name})
	}
	r, fail := s.keepFile(c.user, table, id, name, kind, content)
	if fail != nil {
		return failed(fail)
	}
	h := http.Header{}
	h.Set("Location", c.api()+"/attachment/"+r.id)
	b := s.appendMeta([]byte(`{"result":`), r, c)
	return reply{status: http.StatusCreated, header: h, body: append(b, '}')}
}

func (s *Server) keepFile(u *User, table, id, name, kind string, content []byte) (*row, *failure) {
	sum := sha256.Sum256(content)
	size := strconv.Itoa(len(content))
	r, fail := s.insert(s.tables["sys_attachment"], u, input{fields: map[string]string{
		"table_name": table, "table_sys_id": id, "file_name": name, "content_type": kind, "size_bytes": size, "size_compressed": size,
		"hash": hex.EncodeToString(sum[:]),
	}})
	if fail == nil {
		s.files[r.id] = slices.Clone(content)
	}
	return r, fail
}

// AttachFile adds a file to a record as a person does in the instance, past its limits. It returns "" where a rule refuses.
func (s *Server) AttachFile(table, id, by, name, kind string, content []byte) (sysID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, fail := s.keepFile(s.person(by), table, id, name, kind, content)
	if fail != nil {
		return ""
	}
	return r.id
}

// FileContent is the content of an attachment; nil where there is none.
func (s *Server) FileContent(sysID string) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.files[sysID])
}

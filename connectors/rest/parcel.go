package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
)

// A parcel is a body with the content of a file in it. The content is read from where it stands while it is sent, so
// that nobody has it in memory, and from its beginning again if the tool asks for the request once more.
type parcel struct {
	before, after []byte
	content       io.ReadSeeker
	length        int64 // of the content
	coded         bool  // in base64
	kind          string
	out           io.Reader
}

// size is that of the whole body.
func (p *parcel) size() int64 {
	n := p.length
	if p.coded {
		n = (n + 2) / 3 * 4
	}
	return int64(len(p.before)+len(p.after)) + n
}

func (p *parcel) Read(b []byte) (int, error) {
	if p.out == nil {
		if _, err := p.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	}
	return p.out.Read(b)
}

// Seek goes back to the beginning, and nowhere else.
func (p *parcel) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.New("a body is sent from its beginning")
	}
	if _, err := p.content.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	var in io.Reader = io.LimitReader(p.content, p.length)
	if p.coded {
		in = &coder{in: in}
	}
	p.out = io.MultiReader(bytes.NewReader(p.before), in, bytes.NewReader(p.after))
	return 0, nil
}

// Close does nothing: the content is the caller's.
func (p *parcel) Close() error { return nil }

// A coder writes what it reads in base64.
type coder struct {
	in    io.Reader
	plain [3 << 10]byte
	text  [4 << 10]byte
	left  []byte
	err   error
}

func (c *coder) Read(b []byte) (int, error) {
	for len(c.left) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		n, err := io.ReadFull(c.in, c.plain[:])
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		base64.StdEncoding.Encode(c.text[:], c.plain[:n])
		c.left, c.err = c.text[:base64.StdEncoding.EncodedLen(n)], err
	}
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}

const anyContent = "application/octet-stream"

// pack makes the body of a request that takes a file to the tool, or of one that has none in it.
func (w *carry) pack(values map[string]string, content io.ReadSeeker, length int64) (*parcel, error) {
	p := &parcel{content: content, length: length}
	switch w.body {
	case asRaw:
		p.kind = values["type"]
		return p, nil
	case asMultipart:
		return p, w.form(p, values)
	}
	// The content stands for itself by a word that is nowhere else in the body.
	const stand = "the content of the file \u2063"
	inside := map[string]string{"content": stand}
	for name, v := range values {
		inside[name] = v
	}
	body := map[string]any{}
	constants(w.set, w.wrap, body, func(text string) any { return template(text).fill(inside, nil) })
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	p.kind = "application/json"
	before, after, holds := bytes.Cut(raw, []byte(stand))
	if bytes.Contains(after, []byte(stand)) {
		return nil, errors.New("{content} stands in set twice, or in the name of the file")
	}
	if p.before, p.after, p.coded = before, after, true; !holds {
		p.length = 0
	}
	return p, nil
}

// form makes a multipart body: the constants as fields, then the file.
func (w *carry) form(p *parcel, values map[string]string) error {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	fields := map[string]any{}
	constants(w.set, nil, fields, func(text string) any { return template(text).fill(values, nil) })
	for _, s := range w.set {
		name := strings.Join(s.at, ".")
		var v any = fields
		for _, member := range s.at {
			v = v.(map[string]any)[member]
		}
		if err := m.WriteField(name, fmt.Sprint(v)); err != nil {
			return err
		}
	}
	_, err := m.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition(w.part, values["name"])},
		"Content-Type":        {values["type"]},
	})
	if err != nil {
		return err
	}
	p.before = bytes.Clone(b.Bytes())
	b.Reset()
	if err := m.Close(); err != nil {
		return err
	}
	p.after, p.kind = b.Bytes(), m.FormDataContentType()
	return nil
}

// mediaType is what a file is sent as: what its system says, if that is a media type at all.
func mediaType(s string) string {
	if _, _, err := mime.ParseMediaType(s); err != nil || !strings.Contains(s, "/") {
		return anyContent
	}
	return s
}

package rest

import (
	"net/http"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

func (c *compiler) readers(a *hcl.Attribute) connectors.Readers {
	switch c.word(a, "", "staff", "public") {
	case "staff":
		return connectors.Staff
	case "public":
		return connectors.Public
	}
	return connectors.SomeReaders
}

func (c *compiler) comments(b *Comments) *thread {
	out := &thread{name: b.Name, label: c.word(b.Title, ""), readers: c.readers(b.Readers)}
	out.where = c.expr(b.Where, expression.Bool, "item")
	names := []string{"item"}
	if b.Detail != nil {
		names = append(names, "detail")
	}
	out.id, out.text = c.expr(b.ID, expression.Any, "item"), c.expr(b.Text, expression.Any, names...)
	out.author, out.time, out.edited = c.expr(b.Author, expression.Any, "item"), c.expr(b.Time, expression.Any, "item"), c.expr(b.Edited, expression.Any, "item")
	if out.list = c.list(b.List, nil, "key"); out.list == nil {
		c.fail(b.Range, "Comments without a list", `They need list { path = "/…/{key}/…" }.`)
	}
	if b.Detail != nil {
		out.detail = c.read(b.Detail, false)
	}
	out.add, out.edit = c.write(b.Add, http.MethodPost), c.write(b.Edit, http.MethodPut, "id")
	for _, w := range []struct {
		block *Write
		write *write
	}{{b.Add, out.add}, {b.Edit, out.edit}} {
		if w.write != nil && w.write.text == nil {
			c.fail(w.block.Range, "No place for the text", `This block has to say where the text of a comment stands in the body: text = "…".`)
		}
	}
	return out
}

func (c *compiler) attachments(b *Attachments) *cabinet {
	out := &cabinet{name: b.Label, label: c.word(b.Title, ""), readers: c.readers(b.Readers)}
	out.where = c.expr(b.Where, expression.Bool, "item")
	item := func(a *hcl.Attribute) *expr { return c.expr(a, expression.Any, "item") }
	out.id, out.file, out.kind, out.size, out.hash = item(b.ID), item(b.Name), item(b.Type), item(b.Size), item(b.Hash)
	out.made, out.maker = item(b.Time), item(b.Author)
	if out.list = c.list(b.List, nil, "key"); out.list == nil {
		c.fail(b.Range, "Attachments without a list", `They need list { path = "/…/{key}/…" }.`)
	}
	if out.open = c.opening(b.Open); out.open == nil {
		c.fail(b.Range, "No way to the content of a file", `Add open { path = "/…/{id}" }, or open { link = "item.…" } where the list has the address of the content.`)
	}
	out.upload, out.add = c.carry(b.Upload, false), c.carry(b.Add, b.Upload != nil)
	switch {
	case b.Upload != nil && b.Add == nil:
		c.fail(b.Upload.Range, "Upload without add", "What is uploaded becomes an attachment of a record by the add block, with {token} in its set.")
	case b.Upload != nil && b.Upload.Token == nil:
		c.fail(b.Upload.Range, "No token", `Say where the answer has what stands for the file: token = "body.…".`)
	case b.Upload != nil && !out.upload.holds():
		c.fail(b.Upload.Range, "No place for the content", `Say how the content is sent: body = "raw", body = "multipart", or {content} in set.`)
	case b.Upload == nil && b.Add != nil && !out.add.holds():
		c.fail(b.Add.Range, "No place for the content", `Say how the content is sent: body = "raw", body = "multipart", or {content} in set for base64 in JSON; or write an upload block that comes first.`)
	}
	return out
}

func (c *compiler) opening(o *Open) *opening {
	if o == nil {
		return nil
	}
	out := &opening{path: c.template(o.Path, "key", "id"), query: c.params(o.Query, "key", "id"), elsewhere: c.truth(o.Elsewhere)}
	out.link, out.data = c.expr(o.Link, expression.Any, "item"), c.expr(o.Data, expression.Any, "body", "header")
	if (o.Path == nil) == (o.Link == nil) {
		c.fail(o.Range, "Path or link", `The content stands at path = "/…/{id}", or where the list says: link = "item.…". Write one of them.`)
	}
	return out
}

func (c *compiler) carry(b *Carry, uploaded bool) *carry {
	if b == nil {
		return nil
	}
	names := []string{"key", "name", "type", "size"}
	if uploaded {
		names = append(names, "token")
	}
	out := &carry{method: c.word(b.Method, http.MethodPost, http.MethodPost, http.MethodPut, http.MethodPatch), path: c.template(b.Path, names...)}
	out.query, out.headers = c.params(b.Query, names...), c.params(b.Headers, names...)
	out.part = c.word(b.Part, "file")
	if s := c.word(b.Wrap, ""); s != "" {
		out.wrap = strings.Split(s, ".")
	}
	switch c.word(b.Body, "json", "json", "raw", "multipart") {
	case "raw":
		out.body = asRaw
	case "multipart":
		out.body = asMultipart
	default:
		names = append(names, "content")
	}
	out.set = c.constants(b.Set, names...)
	out.token = c.expr(b.Token, expression.Any, "body", "header")
	out.item = c.expr(b.Item, expression.Any, "body", "header")
	return out
}

// holds reports whether the content of the file is somewhere in the body.
func (w *carry) holds() bool {
	if w.body != asJSON {
		return true
	}
	for _, s := range w.set {
		for _, text := range texts(s.value) {
			if template(text).has("content") {
				return true
			}
		}
	}
	return false
}

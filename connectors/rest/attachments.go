package rest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

func (c *collection) cabinetOf(op, path string) (*cabinet, error) {
	if t := c.b.cabinet(path); t != nil {
		return t, nil
	}
	var names []string
	for _, t := range c.b.cabinets {
		names = append(names, t.name)
	}
	if len(names) == 0 {
		return nil, wrong(op, c.b.name+" describes no attachments", `describe them: attachments "files" { list { … } open { … } }`)
	}
	return nil, wrong(op, fmt.Sprintf("%s has no attachments %q", c.b.name, path), fmt.Sprintf("described are %q", names))
}

// Attachments lists the files of records one by one. Without keys those of all records that changed at since or later
// are listed: a new file moves the stamp of its record.
func (c *collection) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	op := strings.TrimSpace("list "+path) + " of " + c.b.name
	t, err := c.cabinetOf(op, path)
	if err != nil {
		return err
	}
	return c.beside(ctx, keys, since, func(ctx context.Context, key string) (func() error, error) {
		var list []connectors.Attachment
		err := c.files(ctx, op, t, key, func(a connectors.Attachment, _ any) {
			if since.IsZero() || a.Time.IsZero() || !a.Time.Before(since.Truncate(time.Second)) {
				list = append(list, a)
			}
		})
		return func() error {
			for _, a := range list {
				if err := emit(key, a); err != nil {
					return err
				}
			}
			return nil
		}, err
	})
}

// files shows the files of one record, each with the item it was read from.
func (c *collection) files(ctx context.Context, op string, t *cabinet, key string, show func(connectors.Attachment, any)) error {
	return c.entries(ctx, op, key, t.list, t.id, func(item any) error {
		a, in, err := t.attachment(item)
		if err != nil {
			return &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: err.Error(), Hint: "compare the attachments block of the description with what the tool answers"}
		}
		if in {
			show(a, item)
		}
		return nil
	})
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// attachment shows an item as a file; false: it is none of this kind.
func (t *cabinet) attachment(item any) (connectors.Attachment, bool, error) {
	v := &view{item: item}
	a := connectors.Attachment{Size: -1}
	in, err := t.where.truth(v, true)
	if err != nil || !in {
		return a, false, err
	}
	var size, hash string
	for _, s := range []struct {
		to *string
		e  *expr
	}{{&a.ID, t.id}, {&a.Name, t.file}, {&a.Type, t.kind}, {&a.Author, t.maker}, {&size, t.size}, {&hash, t.hash}} {
		if *s.to, err = s.e.text(v); err != nil {
			return a, false, err
		}
	}
	if a.ID == "" || a.Name == "" {
		return a, false, errors.New("a file has no id or no name where the description says: id, name")
	}
	var n int64
	if _, err := fmt.Sscan(size, &n); err == nil && n >= 0 {
		a.Size = n
	}
	if hash = strings.ToLower(hash); sha256Hex.MatchString(hash) {
		a.Hash = hash
	}
	made, err := t.made.get(v)
	if err != nil {
		return a, false, err
	}
	a.Time = instant(made)
	return a, true, nil
}

// OpenAttachment asks for the content of a file, as it comes in where the tool sends bytes.
func (c *collection) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	op := fmt.Sprintf("open file %s of %s %s", id, c.b.name, key)
	t, err := c.cabinetOf(op, path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{"key": key, "id": id}
	cl := &call{op: op, path: t.open.path.fill(values, url.PathEscape), query: query(t.open.query, values), one: true, stream: t.open.data == nil}
	if t.open.link != nil {
		if cl, err = c.linked(ctx, cl, t, key, id); err != nil {
			return nil, err
		}
	}
	a, err := c.client().do(ctx, cl)
	if errors.Is(err, connectors.ErrBusy) {
		// Some tools fail over a file that is not there; whether it is listed decides.
		listed := false
		if lerr := c.files(ctx, op, t, key, func(a connectors.Attachment, _ any) { listed = listed || a.ID == id }); (lerr == nil || errors.Is(lerr, connectors.ErrNotFound)) && !listed {
			err = &connectors.Error{Kind: connectors.ErrNotFound, Op: op}
		}
	}
	if err != nil {
		return nil, err
	}
	if t.open.data == nil {
		return a.stream, nil
	}
	text, err := t.open.data.text(a.view())
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrProtocol, Op: op, Detail: err.Error(), Hint: "compare the open block of the description with what the tool answers"}
	}
	return io.NopCloser(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text))), nil
}

// linked completes a call with the address that the list has for a file. Of one that leads to this tool, under whatever
// name it knows itself by, path and query are used. To another server a request goes only where the description says so,
// and without credentials.
func (c *collection) linked(ctx context.Context, cl *call, t *cabinet, key, id string) (*call, error) {
	broken := func(detail string) error {
		return &connectors.Error{Kind: connectors.ErrProtocol, Op: cl.op, Detail: detail, Hint: "compare link in the open block of the description with what the tool answers"}
	}
	var link string
	var lerr error
	err := c.files(ctx, cl.op, t, key, func(a connectors.Attachment, item any) {
		if a.ID == id {
			link, lerr = t.open.link.text(&view{item: item})
			if lerr == nil && link == "" {
				lerr = errors.New("the list has no address of this file where the description says: link")
			}
		}
	})
	switch {
	case err != nil:
		return nil, err
	case lerr != nil:
		return nil, broken(lerr.Error())
	case link == "":
		return nil, &connectors.Error{Kind: connectors.ErrNotFound, Op: cl.op}
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, broken("the address of the file cannot be read")
	}
	root := c.client().root
	if u.Host != "" && !strings.EqualFold(u.Host, root.Host) && t.open.elsewhere {
		cl.elsewhere = u
		return cl, nil
	}
	cl.path, cl.query, cl.abroad = "/"+strings.TrimPrefix(strings.TrimPrefix(u.EscapedPath(), root.EscapedPath()), "/"), u.Query(), t.open.elsewhere
	return cl, nil
}

// Attach takes a file to the tool, in one request or in two: the first gives a token, which the second attaches. Where
// the answer is not the attachment, the list is read before and after: the new one is that which was not there.
func (c *collection) Attach(ctx context.Context, path, key string, a connectors.Attachment, content io.ReadSeeker) (connectors.Attachment, error) {
	op := fmt.Sprintf("attach %s to %s %s", a.Name, c.b.name, key)
	t, err := c.cabinetOf(op, path)
	if err != nil {
		return connectors.Attachment{}, err
	}
	if t.add == nil {
		return connectors.Attachment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: fmt.Sprintf("the description only reads %q", path), Hint: "write an add block, or let attachments flow the other way only"}
	}
	if _, err := c.there(ctx, key); err != nil {
		return connectors.Attachment{}, unwritten(op, err)
	}
	seen := map[string]bool{}
	if t.add.item == nil {
		if err := c.files(ctx, op, t, key, func(a connectors.Attachment, _ any) { seen[a.ID] = true }); err != nil {
			return connectors.Attachment{}, unwritten(op, err)
		}
	}
	values := map[string]string{"key": key, "name": a.Name, "type": mediaType(a.Type), "size": fmt.Sprint(a.Size)}
	if t.upload != nil {
		if values["token"], err = c.upload(ctx, op, t.upload, values, content, a.Size); err != nil {
			return connectors.Attachment{}, err
		}
	}
	ans, err := c.send(ctx, op, t.add, values, content, a.Size)
	if err != nil {
		return connectors.Attachment{}, err
	}
	unknown := func(detail string) error {
		return &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: detail}
	}
	if t.add.item != nil {
		if item, err := itemOf(t.add.item, ans); err == nil {
			if stored, in, err := t.attachment(item); err == nil && in {
				return stored, nil
			}
		}
		return connectors.Attachment{}, unknown("the answer does not show the file")
	}
	var added []connectors.Attachment
	if err := c.files(ctx, op, t, key, func(a connectors.Attachment, _ any) {
		if !seen[a.ID] {
			added = append(added, a)
		}
	}); err != nil {
		return connectors.Attachment{}, unknown(err.Error())
	}
	// Somebody else may have added one, too. A tool that tidies names leaves the size.
	for _, same := range []func(connectors.Attachment) bool{
		func(n connectors.Attachment) bool { return n.Name == a.Name && (n.Size < 0 || n.Size == a.Size) },
		func(n connectors.Attachment) bool { return n.Size == a.Size },
	} {
		if i := slices.IndexFunc(added, same); i >= 0 {
			return added[i], nil
		}
	}
	return connectors.Attachment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path}, Detail: "the tool took the file and shows none",
		Hint: "this user may not add or see files of this kind, or the tool does not take files of this type"}
}

// upload takes the content of a file to the tool. What no record refers to is no attachment: whatever came of it, nothing
// has happened yet.
func (c *collection) upload(ctx context.Context, op string, w *carry, values map[string]string, content io.ReadSeeker, size int64) (string, error) {
	ans, err := c.send(ctx, op, w, values, content, size)
	if e, ok := errors.AsType[*connectors.Error](err); ok && errors.Is(e.Kind, connectors.ErrOutcome) {
		return "", &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: "the upload failed: " + e.Error(), Hint: e.Hint, Err: e}
	}
	if err != nil {
		return "", err
	}
	token, err := w.token.text(ans.view())
	if err != nil || token == "" {
		return "", &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: "the answer to the upload has no token where the description says: token", Err: err}
	}
	return token, nil
}

func (c *collection) send(ctx context.Context, op string, w *carry, values map[string]string, content io.ReadSeeker, size int64) (*answer, error) {
	p, err := w.pack(values, content, size)
	if err != nil {
		return nil, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Detail: "the request cannot be made: " + err.Error(), Err: err}
	}
	// In a header a name is written as in an address, since headers have no letters beyond ASCII.
	inHeader := map[string]string{}
	for name, v := range values {
		inHeader[name] = v
	}
	inHeader["name"] = url.PathEscape(values["name"])
	headers := map[string]string{}
	for _, h := range w.headers {
		headers[h.name.fill(inHeader, nil)] = h.value.fill(inHeader, nil)
	}
	return c.client().do(ctx, &call{op: op, method: w.method, path: w.path.fill(values, url.PathEscape), query: query(w.query, values), parcel: p, headers: headers, one: true})
}

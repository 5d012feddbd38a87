package servicenow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// files keeps the metadata of the attachments of all tables, a row each.
const files = "sys_attachment"

var fileColumns = []string{"table_name", "table_sys_id", "file_name", "content_type", "size_bytes", "hash", "sys_created_on", "sys_created_by"}

// filesOf is the one place where a record has attachments. Whoever may read the record sees them, its caller included.
var filesOf = connectors.Thread{Path: "attachments", Label: "Attachments", Readers: connectors.Public}

func kindOfFiles(op, path string) error {
	if path == filesOf.Path {
		return nil
	}
	return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("there are no attachments %q", path), Hint: `records have them under "attachments"`}
}

// Attachments lists the metadata in the table of them. Without keys it is that of the records of all tables, as a row names
// the class of its record, which may be a table that extends this one.
func (t *Table) Attachments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Attachment) error) error {
	op := "list attachments of " + t.name
	if err := kindOfFiles(op, path); err != nil {
		return err
	}
	after := ""
	if !since.IsZero() {
		after = "^sys_created_on>=" + since.UTC().Format(timeLayout)
	}
	if keys == nil {
		return t.attachments(ctx, op, "table_sys_idISNOTEMPTY"+after, nil, emit)
	}
	keys = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(keys))), func(k string) bool { return !listValue(k) })
	for chunk := range slices.Chunk(keys, maxIn) {
		if err := t.attachments(ctx, op, "table_sys_idIN"+strings.Join(chunk, ",")+after, chunk, emit); err != nil {
			return err
		}
	}
	return nil
}

// attachments emits what a query on the table of attachments finds. Who may not read them sees none, as a rule; the count
// of rows gives that away. Without keys others than ours are counted, too, and it gives away nothing.
func (t *Table) attachments(ctx context.Context, op, query string, keys []string, emit func(string, connectors.Attachment) error) error {
	w := &walk{table: &Table{conn: t.conn, name: files}, op: op, cols: newColumns(fileColumns, nil),
		base: filter{groups: []string{query}, fields: []string{"table_sys_id", "sys_created_on"}}}
	first := w.fetch(ctx, w.start())
	total, shown := first.total, false
	err := w.run(ctx, first, func(r record.Record) error {
		shown = true
		key := r.Values[1].Text()
		if keys != nil && !slices.Contains(keys, key) || !proper(r.Values[0].Text()) {
			return nil
		}
		return emit(strings.Clone(key), fileOf(r))
	})
	if errors.Is(err, connectors.ErrDenied) || err == nil && keys != nil && total > 0 && !shown {
		return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: "the attachments are not readable for this user", Err: err,
			Hint: "ask for a read rule (ACL) on the table " + files + " for a role of this user"}
	}
	return err
}

// proper tells attachments of a record from its images (ZZ_YYincident) and from drafts of mails (invisible.incident).
func proper(table string) bool {
	return !strings.HasPrefix(table, "ZZ_YY") && !strings.HasPrefix(table, "invisible.")
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// fileOf reads a row of the table of attachments.
func fileOf(r record.Record) connectors.Attachment {
	text := func(i int) string { return strings.Clone(r.Values[i].Text()) }
	a := connectors.Attachment{ID: strings.Clone(r.Key), Name: text(2), Type: text(3), Size: -1, Author: text(7)}
	if n, err := strconv.ParseInt(r.Values[4].Text(), 10, 64); err == nil && n >= 0 {
		a.Size = n
	}
	if hash := strings.ToLower(r.Values[5].Text()); sha256Hex.MatchString(hash) {
		a.Hash = hash
	}
	a.Time, _ = time.Parse(timeLayout, r.Values[6].Text()) // hidden: the zero time
	return a
}

// OpenAttachment asks the Attachment API for the content.
func (t *Table) OpenAttachment(ctx context.Context, path, key, id string) (io.ReadCloser, error) {
	op := fmt.Sprintf("open attachment %s of %s %s", id, t.name, key)
	if err := errors.Join(kindOfFiles(op, path), sendable(op, id)); err != nil {
		return nil, err
	}
	p := pages.Get().(*page)
	defer p.release()
	// The table of the call is for messages; what stands in the address is the ID.
	cl := &call{op: op, api: "attachment", table: id, key: "file", stream: true}
	a, err := t.conn.client.do(ctx, cl, &p.buf)
	if err != nil {
		return nil, fileHint(err, t.name)
	}
	if a.stream == nil {
		return nil, t.conn.client.distrust(cl, "the answer is not the content of a file", nil)
	}
	return a.stream, nil
}

// isContent tells the content of a file from a page or an error that something on the way sent with a 200.
func isContent(res *http.Response) bool {
	kind := res.Header.Get("Content-Type")
	return res.StatusCode == http.StatusOK && (res.Header.Get("X-Attachment-Metadata") != "" || !strings.Contains(kind, "html") && !strings.Contains(kind, "json"))
}

// Attach sends a file as the body of one request, straight from where it stands. It belongs to the record under the name
// of its class, which may be a table that extends this one: forms show no others.
func (t *Table) Attach(ctx context.Context, path, key string, a connectors.Attachment, content io.ReadSeeker) (connectors.Attachment, error) {
	op := fmt.Sprintf("attach %s to %s %s", a.Name, t.name, key)
	if err := errors.Join(kindOfFiles(op, path), sendable(op, key)); err != nil {
		return connectors.Attachment{}, err
	}
	class, there := "", false
	err := t.Read(ctx, []string{"sys_class_name"}, []string{key}, func(r record.Record) error {
		class, there = strings.Clone(r.Values[0].Text()), true
		return nil
	})
	switch {
	case errors.Is(err, connectors.ErrAuth), errors.Is(err, connectors.ErrOffline), errors.Is(err, connectors.ErrDenied):
		return connectors.Attachment{}, err
	case err != nil: // nothing was sent
		return connectors.Attachment{}, &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: err.Error(), Hint: connectors.Hint(err)}
	case !there:
		return connectors.Attachment{}, &connectors.Error{Kind: connectors.ErrNotFound, Op: op, Hint: "the record was deleted, or this user may not see it"}
	case !tableName.MatchString(class):
		class = t.name
	}
	kind := a.Type
	if _, _, err := mime.ParseMediaType(kind); err != nil || !strings.Contains(kind, "/") {
		kind = "application/octet-stream" // the API asks for one
	}
	params := params{}.add("table_name", class).add("table_sys_id", key).add("file_name", a.Name)
	cl := &call{op: op, method: http.MethodPost, api: "attachment", table: "file", params: params, file: content, size: a.Size, kind: kind}
	r, err := t.one(ctx, cl, newColumns(fileColumns, nil))
	if err != nil {
		return connectors.Attachment{}, fileHint(err, t.name)
	}
	return fileOf(r), nil
}

// fileHint says what is behind the refusals of the Attachment API, which explains none of them.
func fileHint(err error, table string) error {
	e, ok := errors.AsType[*connectors.Error](err)
	if ok && (errors.Is(e, connectors.ErrRefused) || errors.Is(e, connectors.ErrDenied)) {
		e.Hint = "what decides on the instance: create and read rules on " + files + ", the right to write the record of " + table +
			", com.glide.attachment.max_size, and the lists of extensions and types (glide.attachment.extensions)"
	}
	return err
}

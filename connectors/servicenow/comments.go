package servicenow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// journals keeps the entries of all journal fields of all tables, a row each.
const journals = "sys_journal_field"

var journalColumns = []string{"element_id", "element", "value", "sys_created_on", "sys_created_by"}

// threadOf is a journal field as a thread. Those of task are known: customers see comments and no work notes.
func threadOf(path, label string) connectors.Thread {
	th := connectors.Thread{Path: path, Label: label}
	switch path {
	case "comments":
		th.Readers = connectors.Public
	case "work_notes":
		th.Readers = connectors.Staff
	}
	return th
}

// Comments reads the entries of a journal field from the table behind it. Without keys they are those of the
// records of all tables, as entries do not say for sure which table their record is in.
func (t *Table) Comments(ctx context.Context, path string, keys []string, since time.Time, emit func(string, connectors.Comment) error) error {
	op := fmt.Sprintf("read %s of %s", path, t.name)
	if !fieldPath.MatchString(path) || strings.Contains(path, ".") {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%q cannot be a journal field", path), Hint: "write comments or work_notes"}
	}
	query := "element=" + path
	if !since.IsZero() {
		query += "^sys_created_on>=" + since.UTC().Format(timeLayout)
	}
	if keys == nil {
		return t.journal(ctx, op, path, query, nil, emit)
	}
	keys = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(keys))), func(k string) bool { return !listValue(k) })
	for chunk := range slices.Chunk(keys, maxIn) {
		if err := t.journal(ctx, op, path, "element_idIN"+strings.Join(chunk, ",")+"^"+query, chunk, emit); err != nil {
			return err
		}
	}
	return nil
}

// journal emits what a query on the journal table finds. Who may not read the table sees an empty one as a rule;
// the count of rows gives that away.
func (t *Table) journal(ctx context.Context, op, path, query string, keys []string, emit func(string, connectors.Comment) error) error {
	w := &walk{table: &Table{conn: t.conn, name: journals}, op: op, cols: newColumns(journalColumns, nil),
		base: filter{groups: []string{query}, fields: []string{"element", "element_id", "sys_created_on"}}}
	first := w.fetch(ctx, w.start())
	total, shown := first.total, false
	err := w.run(ctx, first, func(r record.Record) error {
		shown = true
		key := r.Values[0].Text()
		if r.Values[1].Text() != path || keys != nil && !slices.Contains(keys, key) {
			return nil
		}
		c := connectors.Comment{ID: strings.Clone(r.Key), Author: strings.Clone(r.Values[4].Text()), Text: strings.Clone(r.Values[2].Text())}
		c.Time, _ = time.Parse(timeLayout, r.Values[3].Text()) // hidden: the zero time
		return emit(strings.Clone(key), c)
	})
	switch {
	case errors.Is(err, connectors.ErrDenied):
		return unreadable(op, err)
	case err == nil && total > 0 && !shown:
		return unreadable(op, nil)
	}
	return err
}

func unreadable(op string, err error) error {
	return &connectors.Error{Kind: connectors.ErrDenied, Op: op, Detail: "the entries of journals are not readable for this user", Err: err,
		Hint: "ask for a read rule (ACL) on the table " + journals + " for a role of this user; itil alone often does not have it"}
}

// AddComment writes an entry into a journal field, which updates the record, and reads it back: the instance does
// not say which entry it made. Its author is the user that fieldsync logs in with, whoever wrote the text.
func (t *Table) AddComment(ctx context.Context, path, key, text string) (connectors.Comment, error) {
	op := fmt.Sprintf("add to %s of %s %s", path, t.name, key)
	if err := sendable(op, key); err != nil {
		return connectors.Comment{}, err
	}
	body, err := t.body(op, record.Fields{path: record.OfText(text)})
	if err != nil {
		return connectors.Comment{}, err
	}
	before := map[string]bool{}
	blind := false
	err = t.Comments(ctx, path, []string{key}, time.Time{}, func(_ string, c connectors.Comment) error {
		before[c.ID] = true
		return nil
	})
	switch {
	case errors.Is(err, connectors.ErrDenied):
		blind = true
	case errors.Is(err, connectors.ErrAuth), errors.Is(err, connectors.ErrOffline), errors.Is(err, connectors.ErrConfig):
		return connectors.Comment{}, err
	case err != nil: // nothing was sent
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrBusy, Op: op, Detail: err.Error(), Hint: connectors.Hint(err)}
	}
	cols, err := t.columns(op, []string{"sys_id"})
	if err != nil {
		return connectors.Comment{}, err
	}
	if _, err := t.one(ctx, &call{op: op, method: http.MethodPatch, table: t.name, key: key, params: writeParams(cols), body: body}, cols); err != nil {
		return connectors.Comment{}, err
	}
	added := connectors.Comment{Text: text}
	if blind {
		return added, nil
	}
	err = t.Comments(ctx, path, []string{key}, time.Time{}, func(_ string, c connectors.Comment) error {
		if !before[c.ID] && entryText(c.Text) == entryText(text) && (added.ID == "" || c.Time.After(added.Time)) {
			added = c
		}
		return nil
	})
	switch {
	case errors.Is(err, connectors.ErrDenied):
		return connectors.Comment{Text: text}, nil // the first entry of this record, and it cannot be seen
	case err != nil: // it was stored, but under which ID nobody knows
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrOutcome, Op: op, Detail: err.Error()}
	case added.ID == "":
		return connectors.Comment{}, &connectors.Error{Kind: connectors.ErrRefused, Op: op, Fields: []string{path},
			Detail: "the instance took the request and stored no entry", Hint: "this user may not write " + path + " of " + t.name + ", or a rule drops it: ask for a write rule on the field"}
	}
	return added, nil
}

// entryText is what is left of an entry's text after an instance stored it.
func entryText(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

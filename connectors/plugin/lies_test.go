package plugin_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// What the plugin called liar is asked, and what shows what it says.
var asks = map[string]func(context.Context, connectors.Collection) error{
	"describe": func(ctx context.Context, c connectors.Collection) error {
		d, _ := connectors.As[connectors.Describer](c)
		_, err := d.Describe(ctx)
		return err
	},
	"scan": func(ctx context.Context, c connectors.Collection) error {
		_, err := scan(ctx, c, "title", "weight")
		return err
	},
	"scan of nope": func(ctx context.Context, c connectors.Collection) error {
		_, err := scan(ctx, c, "title", "nope")
		return err
	},
	"three scans": func(ctx context.Context, c connectors.Collection) error {
		since := ""
		for range 3 {
			w, err := c.Scan(ctx, connectors.Query{Paths: []string{"title"}, Since: since}, func(record.Record) error { return nil })
			if err != nil {
				return err
			}
			since = w.Next
		}
		return nil
	},
	"read": func(ctx context.Context, c connectors.Collection) error {
		return c.Read(ctx, []string{"title"}, []string{"k1", "k2"}, func(record.Record) error { return nil })
	},
	"find": func(ctx context.Context, c connectors.Collection) error {
		f, _ := connectors.As[connectors.Finder](c)
		return f.Find(ctx, []string{"title"}, "title", []record.Value{record.OfText("wanted")}, func(record.Record) error { return nil })
	},
	"create": func(ctx context.Context, c connectors.Collection) error {
		cr, _ := connectors.As[connectors.Creator](c)
		_, err := cr.Create(ctx, []string{"title"}, record.Fields{"title": record.OfText("new")})
		return err
	},
	"update": func(ctx context.Context, c connectors.Collection) error {
		up, _ := connectors.As[connectors.Updater](c)
		_, err := up.Update(ctx, []string{"title"}, "k1", "0", record.Fields{"title": record.OfText("new")})
		return err
	},
	"delete": func(ctx context.Context, c connectors.Collection) error {
		d, _ := connectors.As[connectors.Deleter](c)
		return d.Delete(ctx, "k1", "")
	},
	"count": func(ctx context.Context, c connectors.Collection) error {
		n, _ := connectors.As[connectors.Counter](c)
		_, err := n.Count(ctx, "")
		return err
	},
	"deleted": func(ctx context.Context, c connectors.Collection) error {
		d, _ := connectors.As[connectors.DeleteLog](c)
		return d.Deleted(ctx, "x", func(string) error { return nil })
	},
	"within": func(ctx context.Context, c connectors.Collection) error {
		s, _ := connectors.As[connectors.Scoper](c)
		return s.Within(ctx, "open", []string{"k1"}, func(string) error { return nil })
	},
	"require": func(ctx context.Context, c connectors.Collection) error {
		q, _ := connectors.As[connectors.Requirer](c)
		return q.Require(ctx, []string{"title"})
	},
	"comments of k2": func(ctx context.Context, c connectors.Collection) error {
		r, _ := connectors.As[connectors.CommentReader](c)
		return r.Comments(ctx, "notes", []string{"k2"}, time.Time{}, func(string, connectors.Comment) error { return nil })
	},
	"comment": func(ctx context.Context, c connectors.Collection) error {
		w, _ := connectors.As[connectors.Commenter](c)
		_, err := w.AddComment(ctx, "notes", "k1", "added")
		return err
	},
	"attach": func(ctx context.Context, c connectors.Collection) error {
		w, _ := connectors.As[connectors.Attacher](c)
		_, err := w.Attach(ctx, "files", "k1", connectors.Attachment{Name: "a", Size: 3}, strings.NewReader("abc"))
		return err
	},
	"open a file": func(ctx context.Context, c connectors.Collection) error {
		r, _ := connectors.As[connectors.AttachmentReader](c)
		f, err := r.OpenAttachment(ctx, "files", "k1", "f1")
		if err != nil {
			return err
		}
		_, err = io.ReadAll(f)
		return errors.Join(err, f.Close())
	},
}

func scan(ctx context.Context, c connectors.Collection, paths ...string) (n int, err error) {
	_, err = c.Scan(ctx, connectors.Query{Paths: paths}, func(record.Record) error { n++; return nil })
	return n, err
}

func TestALieIsAnErrorAndNotBelieved(t *testing.T) {
	for _, tt := range []struct {
		how, ask string
		kind     error
		says     string
	}{
		{"field twice", "describe", connectors.ErrProtocol, `field "title" twice`},
		{"field of no kind", "describe", connectors.ErrProtocol, "kind that this version does not know"},
		{"no key in schema", "describe", connectors.ErrProtocol, `no field "id"`},
		{"scan goes round", "scan", connectors.ErrProtocol, "goes round"},
		{"scan of ever new records", "scan", connectors.ErrProtocol, "more than 5000 records"},
		{"scan without end", "scan", connectors.ErrProtocol, "stopped without its end"},
		{"something behind the end", "scan", connectors.ErrProtocol, "behind the end"},
		{"too few values", "scan", connectors.ErrProtocol, `record "k1" with 1 values for 2 paths`},
		{"no key", "scan", connectors.ErrProtocol, "without a key"},
		{"key of 10 KiB", "scan", connectors.ErrProtocol, "key has 10240 bytes"},
		{"wrong kind", "scan", connectors.ErrProtocol, `weight of record "k1" is "seven", a text, and is described as int`},
		{"field that is not described", "scan of nope", connectors.ErrProtocol, "has a value of nope, and its description has no such field"},
		{"NaN", "scan", connectors.ErrProtocol, "no number"},
		{"no time", "scan", connectors.ErrProtocol, `"yesterday" is no time`},
		{"no list", "scan", connectors.ErrProtocol, "no JSON array"},
		{"record from the future", "scan", connectors.ErrProtocol, "no time"},
		{"huge message", "scan", connectors.ErrProtocol, "message of more than 16 MiB"},
		{"cursor goes back", "three scans", connectors.ErrProtocol, "cursor that goes back"},
		{"cursor vanishes", "three scans", connectors.ErrProtocol, "no cursor"},
		{"clock off by a century", "scan", connectors.ErrProtocol, "clock"},
		{"status", "scan", connectors.ErrProtocol, "null pointer"},
		{"status that is none of ours", "scan", connectors.ErrProtocol, "FailedPrecondition"},
		{"another key", "read", connectors.ErrProtocol, `record "k77", which was not asked for`},
		{"twice", "read", connectors.ErrProtocol, "more often than it was asked for"},
		{"", "find", connectors.ErrProtocol, "that value was not asked for"},
		{"find twice", "find", connectors.ErrProtocol, "twice"},
		{"create that did not happen", "create", connectors.ErrOutcome, `record "k99" is said to be written, and cannot be read`},
		{"create returns nothing", "create", connectors.ErrOutcome, "without a key"},
		{"error of no kind", "create", connectors.ErrOutcome, "something"},
		{"error with a secret", "create", connectors.ErrBusy, "token (sensitive)[2J was refused"},
		{"update that did not happen", "update", connectors.ErrOutcome, `reads as before, in version "0"`},
		{"update that says other values", "update", connectors.ErrOutcome, `said to be stored as "new", and reads as "title of k1"`},
		{"update of another record", "update", connectors.ErrOutcome, `record "k5" came back`},
		{"", "delete", connectors.ErrOutcome, "said to be deleted, and can be read"},
		{"", "count", connectors.ErrProtocol, "-1 records"},
		{"", "within", connectors.ErrProtocol, `record "k2", which was not asked for`},
		{"", "deleted", connectors.ErrProtocol, "more than 5000 deletions"},
		{"no method", "require", connectors.ErrProtocol, "has no such method"},
		{"", "comments of k2", connectors.ErrProtocol, `record "k1", which was not asked for`},
		{"", "comment", connectors.ErrOutcome, "does not read so"},
		{"", "attach", connectors.ErrOutcome, "is not listed"},
		{"", "open a file", connectors.ErrProtocol, "stopped without its end"},
	} {
		t.Run(tt.how+" "+tt.ask, func(t *testing.T) {
			t.Parallel()
			c := ticketsOf(t, "liar", `how = "`+tt.how+`"`+"\n"+`token = env("TOKEN")`, "max_records = 5000", nil)
			if tt.ask != "describe" {
				if err := asks["describe"](t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			err := asks[tt.ask](t.Context(), c)
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v; want one of kind %q that says %q", err, tt.kind, tt.says)
			}
			if e, ok := errors.AsType[*connectors.Error](err); ok && (strings.ContainsAny(e.Detail+e.Hint, "\x1b\n") || strings.Contains(e.Detail+e.Hint, "secret-of") || e.RetryAfter > time.Hour) {
				t.Errorf("the error shows what it must not: %+v", e)
			}
		})
	}
}

func TestAbilitiesThatCannotBeAreRefused(t *testing.T) {
	for how, says := range map[string]string{"create without find": "create and not find", "settles in a year": "not believable"} {
		conn := connected(t, "liar", `how = "`+how+`"`, "", nil)
		if _, err := conn.Collection(t.Context(), "tickets"); !errors.Is(err, connectors.ErrProtocol) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

func TestHintsArePassedOnUntilThePluginEndsThem(t *testing.T) {
	c := ticketsOf(t, "liar", "", "", nil)
	n, _ := connectors.As[connectors.Notifier](c)
	var heard []string
	err := n.Notify(t.Context(), func(key string) { heard = append(heard, key) })
	if !errors.Is(err, connectors.ErrOffline) || len(heard) != 2 || heard[0] != "" || heard[1] != "k1" {
		t.Errorf("heard %q, then %v", heard, err)
	}
}

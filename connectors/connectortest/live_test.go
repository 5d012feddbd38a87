package connectortest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/memory"
	"github.com/fieldsync/fieldsync/engine/record"
)

func store() *memory.Store {
	s := memory.New(append(memory.Text("title", "ref"),
		connectors.Field{Path: "state", Type: record.Type{Kind: record.Text}, Closed: true, Required: true, Choices: []connectors.Choice{{Value: record.OfText("open")}, {Value: record.OfText("closed")}}},
		connectors.Field{Path: "weight", Type: record.Type{Kind: record.Int}}, connectors.Field{Path: "number", Type: record.Type{Kind: record.Text}, ReadOnly: true})...)
	s.Name = "tickets"
	s.Threads = []connectors.Thread{{Path: "comments", Editable: true}}
	s.Files = []connectors.Thread{{Path: "files"}}
	return s
}

// open is a store that says that it compares versions.
type open struct{ *memory.Store }

func (o open) Collection(_ context.Context, name string) (connectors.Collection, error) {
	_, err := o.Store.Collection(context.Background(), name)
	return o, err
}

func (o open) Conditional() bool { return true }

func live(c connectors.Connection) connectortest.Live {
	return connectortest.Live{Open: func() (connectors.Connection, error) { return c, nil }, Collection: "tickets"}
}

func TestALiveCollectionIsHeldToTheContract(t *testing.T) {
	s := store()
	held := 0
	err := live(open{s}).Run(t.Context(), func(r connectortest.Result) {
		if len(r.Failed) > 0 {
			t.Errorf("%s: %s", r.Check, strings.Join(r.Failed, "; "))
		} else if r.Skipped == "" {
			held++
		}
	})
	if err != nil || held < 45 || s.Len() != 0 {
		t.Errorf("%d checks held and %d records are left: %v", held, s.Len(), err)
	}
}

// forgetful looks for the first of several values alone.
type forgetful struct{ open }

func (f forgetful) Collection(context.Context, string) (connectors.Collection, error) { return f, nil }

func (f forgetful) Find(ctx context.Context, paths []string, path string, values []record.Value, emit func(record.Record) error) error {
	return f.open.Find(ctx, paths, path, values[:min(1, len(values))], emit)
}

func TestALiveCollectionThatBreaksAPromiseFailsTheCheck(t *testing.T) {
	var failed []string
	err := live(forgetful{open{store()}}).Run(t.Context(), func(r connectortest.Result) {
		if len(r.Failed) > 0 {
			failed = append(failed, r.Check)
		}
	})
	if got := strings.Join(failed, "; "); err != nil || !strings.Contains(got, "find takes many values") {
		t.Errorf("failed: %s; %v", got, err)
	}
}

func TestALiveCollectionOfSomebodyElseIsLeftAlone(t *testing.T) {
	s := store()
	s.Add(record.Fields{"title": record.OfText("a person's"), "state": record.OfText("open")})
	err := live(open{s}).Run(t.Context(), func(r connectortest.Result) { t.Errorf("%s was checked", r.Check) })
	if !errors.Is(err, connectors.ErrConfig) || !strings.Contains(err.Error(), "not empty") || s.Len() != 1 {
		t.Errorf("%d records, %v", s.Len(), err)
	}

	s = store()
	checks := 0
	err = live(open{s}).Run(t.Context(), func(connectortest.Result) {
		if checks++; checks == 3 {
			s.Add(record.Fields{"ref": record.OfText("T-1"), "state": record.OfText("open")})
		}
	})
	if !errors.Is(err, connectors.ErrConfig) || checks != 3 || s.Len() != 1 {
		t.Errorf("somebody wrote in between: %d checks, %d records, %v", checks, s.Len(), err)
	}
}

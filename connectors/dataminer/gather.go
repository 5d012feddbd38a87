package dataminer

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// together makes n records, a few at a time, and emits one at a time.
func together(ctx context.Context, n int, work func(ctx context.Context, i int) (record.Record, error), emit func(record.Record) error) error {
	var mu sync.Mutex
	var failed error
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for i := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := work(ctx, i)
			mu.Lock()
			defer mu.Unlock()
			if failed == nil && (err != nil || r.Key != "") {
				if failed = err; err == nil {
					failed = emit(r)
				}
			}
			return failed
		})
	}
	err := g.Wait()
	if failed != nil {
		return failed // and not that the others were stopped
	}
	return err
}

// gathered asks for each key by itself, a few at a time. What is not there is left out.
func gathered[T any](ctx context.Context, keys []string, one func(ctx context.Context, key string) (*T, error)) ([]T, error) {
	keys = distinct(keys)
	var mu sync.Mutex
	var found []T
	err := together(ctx, len(keys), func(ctx context.Context, i int) (record.Record, error) {
		v, err := one(ctx, keys[i])
		if v != nil {
			mu.Lock()
			found = append(found, *v)
			mu.Unlock()
		}
		return record.Record{}, err
	}, nil)
	return found, err
}

// among finds records by the value of a path in all that there are: no method of the Web Services searches.
func among(ctx context.Context, op string, c interface {
	connectors.Collection
	connectors.Requirer
}, paths []string, path string, values []record.Value, all func(emit func(record.Record) error) error, emit func(record.Record) error) error {
	texts := wanted(values)
	if path == pathID {
		return c.Read(ctx, paths, texts, emit)
	}
	if len(texts) == 0 {
		return nil
	}
	at := slices.Index(paths, path)
	if at < 0 {
		return &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: "the path is not among those asked for", Fields: []string{path}}
	}
	if err := c.Require(ctx, []string{path}); err != nil {
		return err
	}
	return all(func(r record.Record) error {
		if v := r.Values[at]; !v.Known() || v.Empty() || !slices.Contains(texts, v.Plain()) {
			return nil
		}
		return emit(r)
	})
}

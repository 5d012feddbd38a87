package servicenow

import (
	"context"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/engine/record"
)

// withinKeys is how many keys are asked about at a time: beside the query they have to find room in an address.
const withinKeys = 50

// Within asks the instance which of some rows an encoded query selects.
func (t *Table) Within(ctx context.Context, native string, keys []string, emit func(key string) error) error {
	op := "look which rows of " + t.name + " are in scope"
	cols, err := t.columns(op, nil)
	if err != nil {
		return err
	}
	base, err := t.filter(ctx, op, native)
	if err != nil {
		return err
	}
	keys = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(keys))), func(k string) bool { return !listValue(k) })
	for list := range slices.Chunk(keys, withinKeys) {
		w := &walk{table: t, op: op, cols: cols, base: base, conds: []string{"sys_idIN" + strings.Join(list, ",")}}
		err := w.run(ctx, w.fetch(ctx, w.start()), func(r record.Record) error {
			if _, asked := slices.BinarySearch(list, r.Key); !asked {
				return nil
			}
			return emit(r.Key)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

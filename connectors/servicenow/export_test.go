package servicenow

import (
	"time"

	"github.com/fieldsync/fieldsync/engine/record"
)

// ParseAddress shows tests what an address was understood as: root, version and table.
func ParseAddress(raw string, insecure bool) (root, version, table string, err error) {
	a, err := parseAddress(raw, insecure)
	return a.root, a.version, a.table, err
}

// Filter shows tests what is sent for a native query with further conditions.
func Filter(native string, conds ...string) (query string, fields []string, err error) {
	f, err := parseFilter(native)
	return f.with(conds...), f.fields, err
}

// Linger makes those who come first wait so long for the others, before anybody has come.
func (t *Table) Linger(d time.Duration) {
	t.singles.linger, t.conn.client.writes.linger = d, d
}

// A Decoder decodes pages as scans do, one after another into the same memory.
type Decoder struct {
	page page
	cols *columns
	rec  record.Record
}

func NewDecoder(paths ...string) *Decoder {
	return &Decoder{cols: newColumns(paths, []string{"number"})}
}

func (d *Decoder) Decode(body []byte, emit func(record.Record)) error {
	if err := d.page.parseList(body); err != nil {
		return err
	}
	for i := range d.page.rows {
		if err := d.page.record(i, d.cols, &d.rec); err != nil {
			return err
		}
		emit(d.rec)
	}
	return nil
}

package servicenow

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/valyala/fastjson"

	"github.com/fieldsync/fieldsync/engine/record"
)

// timeLayout is how the Table API writes an instant when display values are off: UTC, cut to the second.
const timeLayout = "2006-01-02 15:04:05"

// columns are what is asked of each record of a request: the caller's paths and what every record carries.
type columns struct {
	paths  []string
	labels []string // paths that may hold what people call the record, best first
	fields string   // for sysparm_fields
}

func newColumns(paths, labels []string) *columns {
	c := &columns{paths: paths, labels: labels}
	seen := map[string]bool{}
	var names []string
	for _, list := range [][]string{{"sys_id", "sys_mod_count", "sys_updated_on", "sys_updated_by"}, labels, paths} {
		for _, n := range list {
			if !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	c.fields = strings.Join(names, ",")
	return c
}

// A page is a decoded answer. Everything taken from it points into the parser's copy of the body and is valid
// until the page is parsed again.
type page struct {
	buf    bytes.Buffer
	parser fastjson.Parser
	rows   []*fastjson.Value
	valid  bool // the body is UTF-8 throughout: single values need no look
}

var pages = sync.Pool{New: func() any { return new(page) }}

// maxKept keeps one huge answer from pinning its memory for the life of the process.
const maxKept = 8 << 20

func (p *page) release() {
	if p.buf.Cap() <= maxKept {
		p.rows = nil
		pages.Put(p)
	}
}

var (
	errNoResult = errors.New("the answer has no result")
	errNotList  = errors.New("the result is not a list of records")
	errNotOne   = errors.New("the result is not one record")
)

// An errorInside is a failure that the instance reports behind a success status (KB0778443): it ran out of time
// after the first rows were on their way.
type errorInside struct{ complaint }

func (e *errorInside) Error() string {
	return "the instance reports an error inside its answer: " + e.String()
}

// parse reads the envelope {"result": …} and refuses everything that is not wholly one.
func (p *page) parse(body []byte) (*fastjson.Value, error) {
	p.rows = nil
	v, err := p.parser.ParseBytes(body)
	if err != nil {
		// A time-out in the middle of a row leaves broken JSON that still holds the message.
		if bytes.Contains(body, []byte("maximum execution time exceeded")) {
			return nil, &errorInside{complaint{message: "Transaction cancelled: maximum execution time exceeded"}}
		}
		return nil, errCut
	}
	if v.Type() != fastjson.TypeObject {
		return nil, errNoResult
	}
	if e := v.Get("error"); e != nil && e.Type() != fastjson.TypeNull {
		return nil, &errorInside{complaintOf(e)}
	}
	result := v.Get("result")
	if result == nil {
		return nil, errNoResult
	}
	p.valid = utf8.Valid(body)
	return result, nil
}

// parseList reads an answer with many records.
func (p *page) parseList(body []byte) error {
	result, err := p.parse(body)
	if err != nil {
		return err
	}
	if result.Type() != fastjson.TypeArray {
		return errNotList
	}
	p.rows, _ = result.Array()
	return nil
}

// parseOne reads an answer with one record.
func (p *page) parseOne(body []byte) error {
	result, err := p.parse(body)
	if err != nil {
		return err
	}
	if result.Type() != fastjson.TypeObject {
		return errNotOne
	}
	p.rows = append(p.rows[:0], result)
	return nil
}

// key is the sys_id of row i; an error if it has none: it must not pass for another record or for nothing.
func (p *page) key(i int) (string, error) {
	if p.rows[i].Type() != fastjson.TypeObject {
		return "", fmt.Errorf("row %d is not a record", i+1)
	}
	k := p.value(p.rows[i], "sys_id").Text()
	if k == "" {
		return "", fmt.Errorf("row %d has no sys_id", i+1)
	}
	return k, nil
}

// record fills r with row i, its Values in the order of c.paths. r.Values is used again where it is large enough.
func (p *page) record(i int, c *columns, r *record.Record) error {
	key, err := p.key(i)
	if err != nil {
		return err
	}
	row := p.rows[i]
	values := r.Values[:0]
	for _, path := range c.paths {
		values = append(values, p.value(row, path))
	}
	*r = record.Record{Key: key, Author: p.value(row, "sys_updated_by").Text(), Values: values}
	updated := p.value(row, "sys_updated_on").Text()
	r.Modified, _ = time.Parse(timeLayout, updated) // a system that does not say: the zero time
	if r.Version = p.value(row, "sys_mod_count").Text(); r.Version == "" {
		r.Version = updated
	}
	for _, l := range c.labels {
		if r.Label = p.value(row, l).Text(); r.Label != "" {
			break
		}
	}
	return nil
}

// value is what row holds at path: unknown where the key is missing, null where it is "".
func (p *page) value(row *fastjson.Value, path string) record.Value {
	v := row.Get(path)
	if v == nil {
		return record.UnknownValue
	}
	if v.Type() == fastjson.TypeObject {
		// {"link":…,"value":…} of a reference, {"display_value":…,"value":…} of a pair: the raw value is the
		// same in all forms. A form without it shows only what people see, which is not a value.
		if v = v.Get("value"); v == nil {
			return record.UnknownValue
		}
	}
	switch v.Type() {
	case fastjson.TypeString:
		b := v.GetStringBytes()
		if len(b) == 0 {
			return record.NullValue
		}
		if !p.valid && !utf8.Valid(b) {
			return record.UnknownValue
		}
		return record.OfText(unsafe.String(unsafe.SliceData(b), len(b)))
	case fastjson.TypeNull:
		return record.NullValue
	case fastjson.TypeNumber, fastjson.TypeTrue, fastjson.TypeFalse:
		// No table answers so; scripted gateways do. The text is what the API would have sent.
		return record.OfText(v.String())
	}
	return record.UnknownValue
}

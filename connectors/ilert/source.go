package ilert

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/fieldsync/fieldsync/connectors"
)

// A source is an alert source, as far as it matters here.
type source struct {
	ID     json.RawMessage `json:"id"`
	Name   string          `json:"name"`
	Kind   string          `json:"integrationType"`
	Status string          `json:"status"`
	Active *bool           `json:"active"`
	Rule   string          `json:"alertPriorityRule"`
	Key    *string         `json:"integrationKey"` // nil where this API key may not see it
}

func (s *source) id() string { return plain(s.ID) }

// pageOfSources is the most sources that ilert gives at a time.
const pageOfSources = 50

// listSources reads the alert sources, once for each connection.
func (c *Connection) listSources(ctx context.Context, op string) ([]source, error) {
	c.mu.Lock()
	known := c.sources
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	list := []source{}
	for start := 0; ; start += pageOfSources {
		var page []source
		q := url.Values{"start-index": {strconv.Itoa(start)}, "max-results": {strconv.Itoa(pageOfSources)}}
		if err := c.client.get(ctx, op, "/alert-sources", q, &page); err != nil {
			return nil, err
		}
		list = append(list, page...)
		if len(page) < pageOfSources {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources = list
	return list, nil
}

// selection is the sources of the collection by id, and its first day. Names are looked up.
func (c *Collection) selection(ctx context.Context, op string) (selection, error) {
	sel := selection{from: c.from}
	for _, asked := range c.asked {
		if _, err := strconv.ParseInt(asked, 10, 64); err == nil {
			sel.sources = append(sel.sources, asked)
			continue
		}
		list, err := c.conn.listSources(ctx, op)
		if err != nil {
			return sel, err
		}
		var names, ids []string
		for i := range list {
			names = append(names, list[i].Name)
			if list[i].Name == asked {
				ids = append(ids, list[i].id())
			}
		}
		if len(ids) == 1 {
			sel.sources = append(sel.sources, ids[0])
			continue
		}
		e := &connectors.Error{Kind: connectors.ErrConfig, Op: op, Detail: fmt.Sprintf("%d alert sources are called %q", len(ids), asked), Hint: "write the id of the one that is meant"}
		if len(ids) == 0 {
			e.Detail, e.Hint = fmt.Sprintf("no alert source is called %q", asked), "there is none of this name, or this API key may not see it; write its name or its id"
			if near := connectors.Nearest(asked, names); near != "" {
				e.Hint = fmt.Sprintf("did you mean %q? %s", near, e.Hint)
			}
		}
		return sel, e
	}
	slices.Sort(sel.sources)
	return sel, nil
}

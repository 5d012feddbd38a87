package servicenow

import (
	"context"
	"strings"
	"sync"
	"time"
)

// An identity is what an instance tells of itself through the account's own row of sys_user. No two instances give a
// record the same sys_id, so an instance that has taken another's place at its address, or was set up anew, shows.
// "" is what the account may not see: nothing is concluded from it.
type identity struct {
	mu           sync.Mutex
	at           time.Time
	system, zone string
}

// staleIdentity keeps short polls of several syncs from asking for the same each time.
const staleIdentity = time.Minute

// identify asks who the instance is, and in which time zone the account lives: its own, or that of the instance. That
// it cannot be asked is no reason to stop a scan.
func (c *Connection) identify(ctx context.Context) (system, zone string) {
	who := c.me(ctx)
	if !plainValue(who) {
		return "", ""
	}
	id := &c.identity
	id.mu.Lock()
	defer id.mu.Unlock()
	now := c.client.now()
	if age := now.Sub(id.at); !id.at.IsZero() && age >= 0 && age < staleIdentity {
		return id.system, id.zone
	}
	id.at, id.system, id.zone = now, "", ""
	p := pages.Get().(*page)
	defer p.release()
	if c.few(ctx, p, "sys_user", "user_name="+who, "sys_id", "user_name", "time_zone") != nil {
		return "", ""
	}
	for _, row := range p.rows {
		if !strings.EqualFold(p.value(row, "user_name").Text(), who) {
			continue
		}
		id.system, id.zone = "sys_user "+strings.Clone(p.value(row, "sys_id").Text()), strings.Clone(p.value(row, "time_zone").Text())
		break
	}
	if id.system == "" || id.zone != "" {
		return id.system, id.zone
	}
	const property = "glide.sys.default.tz"
	if c.few(ctx, p, "sys_properties", "name="+property, "name", "value") == nil {
		for _, row := range p.rows {
			if p.value(row, "name").Text() == property {
				id.zone = strings.Clone(p.value(row, "value").Text())
			}
		}
	}
	return id.system, id.zone
}

// me is the login name that this connection acts as: the one in the settings where that is what the user is known by,
// else the one that the instance finds for whoever asks. "" where neither tells.
func (c *Connection) me(ctx context.Context) string {
	if a := c.client.auth; a.Kind == "basic" || a.Grant == grantPassword {
		return a.Username
	}
	if name := c.login.Load(); name != nil {
		return *name
	}
	p := pages.Get().(*page)
	defer p.release()
	// The value of gs.getUserID is the session's own user. An instance that does not run it finds nobody, or everybody.
	if c.few(ctx, p, "sys_user", "sys_id=javascript:gs.getUserID()", "sys_id", "user_name") != nil || len(p.rows) != 1 {
		return ""
	}
	name := strings.Clone(p.value(p.rows[0], "user_name").Text())
	if name != "" {
		c.login.Store(&name)
	}
	return name
}

// few reads the first rows that a query finds.
func (c *Connection) few(ctx context.Context, p *page, table, query string, fields ...string) error {
	_, err := c.client.list(ctx, &call{op: "read " + table, table: table,
		params: rawParams(strings.Join(fields, ",")).add("sysparm_limit", "2").add("sysparm_no_count", "true").add("sysparm_query", query)}, p)
	return err
}

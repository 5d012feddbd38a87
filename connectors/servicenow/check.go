package servicenow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// Check logs in and looks at what decides whether syncs will work: the account, its rights on the table that the
// url names (else incident), its roles, the clocks, the account's time zone, the dictionary. It writes nothing, and
// says where something cannot be known without writing.
func (c *Connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	k := &check{conn: c, table: c.client.addr.table}
	if k.table == "" {
		k.table = "incident"
	}
	for _, look := range []func(context.Context) error{k.account, k.known, k.rights, k.roles, k.clock, k.dictionary} {
		err := look(ctx)
		switch {
		case errors.Is(err, connectors.ErrAuth):
			k.bad("log-in", detail(err), connectors.Hint(err))
			return k.findings, nil
		case err != nil:
			return k.findings, err
		}
	}
	return k.findings, nil
}

type check struct {
	conn     *Connection
	table    string
	has      []string // roles; none where they cannot be read
	findings []connectors.Finding
}

func (k *check) good(what, detail string) {
	k.findings = append(k.findings, connectors.Finding{OK: true, What: what, Detail: detail})
}

func (k *check) bad(what, detail, hint string) {
	k.findings = append(k.findings, connectors.Finding{What: what, Detail: detail, Hint: hint})
}

// detail is what the system said, without the operation, which the finding's name stands for.
func detail(err error) string {
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.Detail != "" {
		return e.Kind.Error() + ": " + e.Detail
	}
	return err.Error()
}

// answered reports whether err is the instance's answer to a question about rights, which is a finding, and not a
// failure of asking.
func answered(err error) bool {
	return errors.Is(err, connectors.ErrDenied) || errors.Is(err, connectors.ErrConfig) || errors.Is(err, connectors.ErrNotFound)
}

func (k *check) ask(ctx context.Context, p *page, table, query, display string, fields ...string) (*answer, error) {
	ps := params{}.add("sysparm_display_value", display).add("sysparm_exclude_reference_link", "true").add("sysparm_fields", strings.Join(fields, ",")).add("sysparm_limit", "200")
	if query != "" {
		ps = ps.add("sysparm_query", query)
	}
	return k.conn.client.list(ctx, &call{op: "check " + table, table: table, params: ps}, p)
}

// account finds out who is logged in: the name in the settings, or what the instance says of its session, and the row
// of sys_user behind it.
func (k *check) account(ctx context.Context) error {
	p := pages.Get().(*page)
	defer p.release()
	auth := k.conn.client.auth
	if auth.Kind == "oauth" {
		if _, err := k.conn.client.login.token(ctx, "check log-in", ""); err != nil {
			return err
		}
		k.good("token", k.conn.client.login.status())
	}
	who := k.conn.me(ctx)
	if !plainValue(who) {
		if _, err := k.ask(ctx, p, "sys_user", "ORDERBYsys_id", "false", "sys_id"); err != nil && !answered(err) {
			return err
		}
		k.good("log-in", "accepted; "+whose(auth))
		return nil
	}
	_, err := k.ask(ctx, p, "sys_user", "user_name="+who, "false", "sys_id", "user_name", "name", "time_zone", "active", "web_service_access_only")
	if err != nil && !answered(err) {
		return err
	}
	for _, row := range p.rows {
		if err != nil || !strings.EqualFold(p.value(row, "user_name").Text(), who) {
			continue
		}
		k.good("log-in", fmt.Sprintf("accepted as %s (%s)", who, p.value(row, "name").Plain()))
		k.zone(strings.Clone(p.value(row, "time_zone").Text()))
		return nil
	}
	k.good("log-in", "accepted as "+who+"; its own row of sys_user is not readable, so roles and time zone are not known")
	return nil
}

// whose says where to look for the user behind a log-in without a name.
func whose(a Auth) string {
	switch {
	case a.Kind == "api_key":
		return "which user the API key acts as is not shown, it is on the key's record in the instance (REST API Key)"
	case a.Grant == grantClient:
		return "which user the token acts as is not shown, it is the OAuth Application User of the entry in the instance's Application Registry"
	}
	return "which user the token acts as is not shown, it is the one that the refresh token was given to"
}

func (k *check) zone(zone string) {
	switch zone {
	case "":
		k.good("time zone", "the account has none of its own; it follows the instance's")
	case "UTC", "GMT", "Etc/UTC", "Etc/GMT", "Zulu", "Etc/Zulu", "Etc/UCT", "UCT", "Universal":
		k.good("time zone", zone)
	default:
		k.bad("time zone", "the account's time zone is "+zone,
			"set the account's time zone to GMT: then times in queries mean the same under every release")
	}
}

// known looks the account's roles up, for what follows.
func (k *check) known(ctx context.Context) (err error) {
	k.has, err = k.conn.roles(ctx)
	return err
}

// rights reads the table as a sync would. Zero rows are no error to the instance, which answers a user without
// rights just so.
func (k *check) rights(ctx context.Context) error {
	p := pages.Get().(*page)
	defer p.release()
	needed := []string{"sys_id", "sys_mod_count", "sys_updated_on", "sys_updated_by"}
	a, err := k.ask(ctx, p, k.table, "ORDERBYsys_id", "false", needed...)
	what := "read " + k.table
	if answered(err) {
		k.bad(what, detail(err), connectors.Hint(err))
		return nil
	}
	if err != nil {
		return err
	}
	if len(p.rows) == 0 && max(a.total(), 0) == 0 && k.table == "incident" && one(k.has, reading...) {
		k.good(what, "no row yet; the account may read them by its roles")
		return nil
	}
	if len(p.rows) == 0 {
		k.bad(what, fmt.Sprintf("no row is shown; the instance counts %d", max(a.total(), 0)),
			"this is how a user without read rights sees a table, or the table is empty; "+roleFor(k.table))
		return nil
	}
	var missing []string
	for _, f := range needed {
		if !p.value(p.rows[0], f).Known() {
			missing = append(missing, f)
		}
	}
	if len(missing) > 0 {
		k.bad(what, "rows do not show "+strings.Join(missing, ", "), "let the user read these fields: without them changes cannot be told")
		return nil
	}
	all := max(a.total(), int64(len(p.rows)))
	shown, err := (&Table{conn: k.conn, name: k.table}).Count(ctx, "")
	switch {
	case err != nil && !answered(err):
		return err
	case err == nil && shown < all:
		k.good(what, fmt.Sprintf("%d rows, and %d more that access rules keep from this user", shown, all-shown))
	default:
		k.good(what, fmt.Sprintf("%d rows", all))
	}
	return nil
}

// roles compares the account's roles with those that writing needs, where they can be read.
func (k *check) roles(context.Context) error {
	what, all := "write "+k.table, strings.Join(k.has, ", ")
	switch {
	case len(k.has) == 0:
		k.good(what, "not known before the first write: the account's roles cannot be read")
	case slices.Contains(k.has, readOnlyRole):
		k.bad(what, "the account has the role snc_read_only, which takes all writing away", "remove snc_read_only from the account")
	case k.table != "incident":
		k.good("roles", all)
	case !one(k.has, writing...):
		k.bad(what, "the account's roles are "+all, "give it the role itil, or sn_incident_read and sn_incident_write")
	case !one(k.has, closing...):
		k.good(what, all+"; closing and deleting need itil_admin, resolving does not")
	default:
		k.good(what, all)
	}
	if len(k.has) > 0 && len(k.conn.imports) > 0 {
		if one(k.has, "admin", "import_admin", "import_transformer") {
			k.good("import sets", "the account may run transform maps")
		} else {
			k.bad("import sets", "the account's roles are "+all, "give it the role import_transformer: without it rows are staged and not transformed")
		}
	}
	return nil
}

func (k *check) clock(context.Context) error {
	clock, _ := k.conn.client.reading()
	if !clock.Measured {
		k.bad("clock", "the answers carry no Date", "a proxy takes the header out: let it through, or every scan has to read the whole table")
		return nil
	}
	off := clock.Offset.Round(time.Second)
	switch {
	case off.Abs() > time.Minute:
		k.bad("clock", fmt.Sprintf("the instance's clock is %s from this machine's", off), "keep this machine's clock right (NTP): the policy newest compares both clocks")
	default:
		k.good("clock", fmt.Sprintf("%s from this machine's, within %s", off, clock.Error.Round(time.Millisecond)))
	}
	return nil
}

func (k *check) dictionary(ctx context.Context) error {
	coll, err := k.conn.Collection(ctx, k.table)
	if err == nil {
		var s *connectors.Schema
		if s, err = coll.(connectors.Describer).Describe(ctx); err == nil {
			k.good("dictionary", fmt.Sprintf("%d fields of %s", len(s.Fields), k.table))
			return nil
		}
	}
	if answered(err) {
		k.bad("dictionary", detail(err), connectors.Hint(err))
		return nil
	}
	return err
}

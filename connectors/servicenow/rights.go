package servicenow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/record"
)

// The roles that may do in the base system what syncs do with incidents. Those that contain others are named too, for
// instances that do not show which roles came with them: incident_manager, which other integrations ask for, contains itil.
var (
	reading = append([]string{"sn_incident_read"}, writing...)
	writing = append([]string{"itil", "sn_incident_write", "sn_service_desk_agent", "incident_manager", "sn_incident_admin"}, closing...)
	closing = []string{"itil_admin", "admin"}
)

const (
	readOnlyRole = "snc_read_only" // takes writing away
	closedState  = "7"
)

// roles are those of the account, its inherited ones among them; none where they cannot be read.
func (c *Connection) roles(ctx context.Context) ([]string, error) {
	who := c.me(ctx)
	if !plainValue(who) {
		return nil, nil
	}
	p := pages.Get().(*page)
	defer p.release()
	k := &check{conn: c}
	_, err := k.ask(ctx, p, "sys_user_has_role", "user.user_name="+who+"^ORDERBYsys_id", "false", "user.user_name", "role.name", "state")
	switch {
	case answered(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var has []string
	for _, row := range p.rows {
		// A query whose field is not understood answers with everybody's.
		if !strings.EqualFold(p.value(row, "user.user_name").Text(), who) || p.value(row, "state").Text() == "inactive" {
			continue
		}
		if n := p.value(row, "role.name").Text(); n != "" {
			has = append(has, strings.Clone(n))
		}
	}
	slices.Sort(has)
	return slices.Compact(has), nil
}

func one(has []string, roles ...string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(has, r) })
}

// A need is something that a sync does and the roles of which one is enough for it.
type need struct {
	doing string
	roles []string
	give  string // which of them to ask for
}

// needed are those of a demand on incidents.
func needed(d connectors.Demand) []need {
	list := []need{{"reading", reading, "itil or sn_incident_read"}}
	add := func(wanted bool, doing string, roles []string, give string) {
		if wanted {
			list = append(list, need{doing, roles, give})
		}
	}
	add(d.Create, "creating", writing, "itil or sn_incident_write")
	add(len(d.Writes) > 0 || d.Comments.Write, "writing", writing, "itil or sn_incident_write")
	add(slices.ContainsFunc(d.Values["state"], func(v record.Value) bool { return v.Plain() == closedState }), "closing (state 7)", closing, "itil_admin")
	add(d.Delete, "deleting", closing, "itil_admin")
	return list
}

// Entitled holds the account's roles against what a sync does, and looks whether the tables beside this one are shown that
// it needs. Roles are those of the base system: an instance may have access rules of its own.
func (t *Table) Entitled(ctx context.Context, d connectors.Demand) ([]connectors.Finding, error) {
	has, err := t.conn.roles(ctx)
	if err != nil {
		return nil, err
	}
	found := t.byRole(has, d)
	if d.Comments.Path != "" {
		f, err := t.beside(ctx, journals, "comments", "element="+d.Comments.Path, connectors.Hint(unreadable("", nil)))
		if err != nil {
			return found, err
		}
		found = append(found, f)
	}
	if d.Files.Path != "" {
		f, err := t.beside(ctx, "sys_attachment", "attachments", "table_name="+t.name, "let the user read sys_attachment; adding files needs the right to create there, too")
		if err != nil {
			return found, err
		}
		found = append(found, f)
	}
	if len(d.Writes) > 0 {
		f, err := t.beside(ctx, audits, "the audit", "tablename="+t.name, "")
		if err != nil {
			return found, err
		}
		if !f.OK { // a sync runs without it
			f = connectors.Finding{OK: true, Detail: f.Detail + ": an edit that a write overwrites in the same moment is not found again"}
		}
		found = append(found, f)
	}
	return found, nil
}

// byRole says by which role the account may do what, and for what it has none.
func (t *Table) byRole(has []string, d connectors.Demand) []connectors.Finding {
	all := strings.Join(has, ", ")
	switch {
	case len(has) == 0:
		return []connectors.Finding{{OK: true, Detail: "the account's roles cannot be read: what it may do shows with the first write"}}
	case slices.Contains(has, readOnlyRole) && (d.Create || d.Delete || len(d.Writes) > 0):
		return []connectors.Finding{{Detail: "the account has the role " + readOnlyRole + ", which takes all writing away", Hint: "remove " + readOnlyRole + " from the account"}}
	case t.name != "incident":
		return []connectors.Finding{{OK: true, Detail: fmt.Sprintf("the account has %s; which of its roles the access rules of %s ask for shows with the first write", all, t.name)}}
	}
	var may []string
	var found []connectors.Finding
	for _, n := range needed(d) {
		i := slices.IndexFunc(n.roles, func(r string) bool { return slices.Contains(has, r) })
		if i < 0 {
			found = append(found, connectors.Finding{Detail: fmt.Sprintf("%s needs one of %s; the account has %s", n.doing, strings.Join(n.roles, ", "), all), Hint: "give the account the role " + n.give})
			continue
		}
		may = append(may, n.doing+" by "+n.roles[i])
	}
	if len(may) > 0 {
		found = append([]connectors.Finding{{OK: true, Detail: strings.Join(may, ", ")}}, found...)
	}
	return found
}

// beside looks whether a table that goes with this one is shown. Who may not read one is refused, or sees it empty while
// the instance counts rows.
func (t *Table) beside(ctx context.Context, table, what, query, hint string) (connectors.Finding, error) {
	p := pages.Get().(*page)
	defer p.release()
	k := &check{conn: t.conn}
	a, err := k.ask(ctx, p, table, query, "false", "sys_id")
	switch {
	case answered(err) || err == nil && len(p.rows) == 0 && a.total() > 0:
		return connectors.Finding{Detail: fmt.Sprintf("%s (%s) cannot be read", what, table), Hint: hint}, nil
	case err != nil:
		return connectors.Finding{}, err
	case len(p.rows) == 0:
		return connectors.Finding{OK: true, Detail: fmt.Sprintf("%s (%s): nothing there yet", what, table)}, nil
	}
	return connectors.Finding{OK: true, Detail: fmt.Sprintf("%s (%s) can be read", what, table)}, nil
}

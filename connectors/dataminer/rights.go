package dataminer

import (
	"context"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
)

// A right is a member of what a log-in tells of the user, and how Cube calls it.
type right struct {
	member string
	doing  string
	cube   string
}

// ticketing are the rights to tickets. The log-in tells no right to properties.
var ticketing = struct{ look, add, edit, remove right }{
	right{"TicketsUI", "look at tickets", "Modules > Ticketing > UI available"},
	right{"TicketsAddTicket", "add tickets", "Modules > Ticketing > Add tickets"},
	right{"TicketsEditTicket", "edit tickets", "Modules > Ticketing > Edit tickets"},
	right{"TicketsDeleteTicket", "delete tickets", "Modules > Ticketing > Delete tickets"},
}

// Entitled holds what the log-in told of licence and rights against what a sync does.
func (c *Tickets) Entitled(ctx context.Context, d connectors.Demand) ([]connectors.Finding, error) {
	const op = "check rights"
	if _, err := c.web.session.get(ctx, op, ""); err != nil {
		return nil, err
	}
	h := c.web.session.told()
	if has, told := h.Licenses["Ticketing"]; told && !has {
		return []connectors.Finding{{Detail: "the system has no licence for Ticketing", Hint: "tickets of the legacy app need it; today's Ticketing is reached through the bridge"}}, nil
	}
	needed := []right{ticketing.look}
	if d.Create {
		needed = append(needed, ticketing.add)
	}
	if len(d.Writes) > 0 {
		needed = append(needed, ticketing.edit)
	}
	if d.Delete {
		needed = append(needed, ticketing.remove)
	}
	return weigh(h.Security, needed), nil
}

// weigh says which of some rights there are, and names those that are missing.
func weigh(security map[string]bool, needed []right) []connectors.Finding {
	var may, unknown []string
	var found []connectors.Finding
	for _, r := range needed {
		switch has, told := security[r.member]; {
		case !told:
			unknown = append(unknown, r.doing)
		case has:
			may = append(may, r.doing)
		default:
			found = append(found, connectors.Finding{Detail: "the user may not " + r.doing + " (" + r.member + ")", Hint: "give its group the right " + r.cube + " in System Center"})
		}
	}
	if len(may) > 0 {
		found = append([]connectors.Finding{{OK: true, Detail: "the user may " + strings.Join(may, ", ")}}, found...)
	}
	if len(unknown) > 0 {
		found = append(found, connectors.Finding{OK: true, Detail: "the system does not tell whether the user may " + strings.Join(unknown, ", ") + ": that shows with the first write"})
	}
	return found
}

// Entitled says that nothing is told: the rights of a log-in have none to properties in them.
func (c *Objects) Entitled(_ context.Context, d connectors.Demand) ([]connectors.Finding, error) {
	if len(d.Writes) == 0 {
		return nil, nil
	}
	return []connectors.Finding{{OK: true, Detail: "the system does not tell whether the user may edit properties: that shows with the first write"}}, nil
}

// Entitled says whose rights count behind the bridge.
func (c *AlarmProperties) Entitled(_ context.Context, d connectors.Demand) ([]connectors.Finding, error) {
	return behindTheBridge(len(d.Writes) > 0, "sets properties"), nil
}

func behindTheBridge(writes bool, does string) []connectors.Finding {
	if !writes {
		return nil
	}
	return []connectors.Finding{{OK: true, Detail: "the script " + does + " with the rights of the system: whoever holds the token may"}}
}

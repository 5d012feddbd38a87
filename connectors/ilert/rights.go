package ilert

import (
	"context"
	"fmt"
	"slices"

	"github.com/fieldsync/fieldsync/connectors"
)

// onlookers are the roles of people who are told of alerts and do not work on them. The others are RESPONDER, USER and
// ADMIN; ilert publishes no list of what each may do.
var onlookers = []string{"STAKEHOLDER", "GUEST"}

// A user is who an API key belongs to.
type user struct {
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Email     string `json:"email"`
	Role      string `json:"role"`
}

func (c *Connection) current(ctx context.Context, op string) (u user, err error) {
	return u, c.client.get(ctx, op, "/users/current", nil, &u)
}

// Entitled holds the role of the key's user, and the integration key, against what a sync does.
func (c *Collection) Entitled(ctx context.Context, d connectors.Demand) ([]connectors.Finding, error) {
	u, err := c.conn.current(ctx, "check rights")
	switch {
	case answered(err):
		return []connectors.Finding{{OK: true, Detail: "the role of the key's user is not told: what it may do shows with the first write"}}, nil
	case err != nil:
		return nil, err
	}
	var found []connectors.Finding
	status := slices.Contains(d.Writes, pathStatus)
	switch {
	case !status:
		found = append(found, connectors.Finding{OK: true, Detail: "reading, which the key shows"})
	case slices.Contains(onlookers, u.Role):
		found = append(found, connectors.Finding{Detail: fmt.Sprintf("accepting and resolving: the key's user has the role %s, which looks on", u.Role), Hint: "make the API key as a user with the role RESPONDER, USER or ADMIN"})
	default:
		found = append(found, connectors.Finding{OK: true, Detail: "accepting and resolving by " + u.Role + ", unless a team keeps alerts from the user"})
	}
	if (d.Create || d.Comments.Write) && c.key == "" {
		found = append(found, connectors.Finding{Detail: "making alerts and commenting needs the key of an alert source", Hint: "add integration_key and the one source that it belongs to in the collection block"})
	}
	return found, nil
}

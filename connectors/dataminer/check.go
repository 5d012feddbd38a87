package dataminer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fieldsync/fieldsync/connectors"
)

// three are the properties that incidents are shown by, as the vendor spells them.
var three = []string{"Incident Status", "Incident Number", "Ticket ID"}

// Check logs in and says what each way into the system gives: user, version, clock, the alarm properties, and how many
// elements are seen. It writes nothing, and the Web Services do not tell which rights to write a user has.
func (c *Connection) Check(ctx context.Context) ([]connectors.Finding, error) {
	var found []connectors.Finding
	for _, look := range []func(context.Context) ([]connectors.Finding, error){c.checkWeb, c.checkBridge} {
		f, err := look(ctx)
		found = append(found, f...)
		if errors.Is(err, connectors.ErrAuth) || errors.Is(err, connectors.ErrConfig) && len(found) > 0 {
			found = append(found, connectors.Finding{What: "log-in", Detail: err.Error(), Hint: connectors.Hint(err)})
			continue
		}
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

func (c *Connection) checkWeb(ctx context.Context) ([]connectors.Finding, error) {
	if c.web == nil {
		return nil, nil
	}
	clock, err := c.web.clock(ctx)
	if err != nil {
		return nil, err
	}
	h := c.web.session.told()
	who := c.web.session.auth.Username
	if h.User.FullName != "" && h.User.FullName != who {
		who += " (" + h.User.FullName + ")"
	}
	detail := "accepted as " + who
	if h.Version != "" {
		detail += ", DataMiner " + h.Version
	}
	found := []connectors.Finding{{OK: true, What: "log-in", Detail: detail}, ofClock(clock)}
	n, err := c.collections["elements"].(*Objects).all(ctx, "count elements")
	switch {
	case errors.Is(err, connectors.ErrRefused):
		return append(found, connectors.Finding{What: "elements", Detail: err.Error(), Hint: "give the user's group access to a view"}), nil
	case err != nil:
		return found, err
	case len(n) == 0:
		found = append(found, connectors.Finding{What: "elements", Detail: "none is seen", Hint: "a user sees the elements of the views that its group has access to"})
	default:
		found = append(found, connectors.Finding{OK: true, What: "elements", Detail: fmt.Sprintf("%d seen", len(n))})
	}
	if c.bridge != nil {
		return found, nil // which shows the alarm properties too
	}
	defined, err := c.collections["alarms"].(*Alarms).available(ctx, "ask for alarm properties")
	if err != nil {
		return found, err
	}
	return append(found, ofProperties(sortedKeys(defined))), nil
}

func (c *Connection) checkBridge(ctx context.Context) ([]connectors.Finding, error) {
	if c.bridge == nil {
		return nil, nil
	}
	began := c.bridge.now()
	i, err := c.bridge.info(ctx)
	if err != nil {
		return nil, err
	}
	found := []connectors.Finding{
		{OK: true, What: "bridge", Detail: fmt.Sprintf("%s speaks contract %d", hostOf(c.bridge.root), i.Contract)},
		ofProperties(i.Properties),
	}
	if c.web == nil {
		found = append(found, ofClock(clockOf(i.Time, began, c.bridge.now())))
	}
	return found, nil
}

// ofProperties says which of the three there are. A mapping may use others: what it writes is checked by itself.
func ofProperties(defined []string) connectors.Finding {
	gone := slices.DeleteFunc(slices.Clone(three), func(p string) bool { return slices.Contains(defined, p) })
	switch {
	case len(defined) == 0:
		return connectors.Finding{What: "properties", Detail: "no alarm property is defined", Hint: howToDefine}
	case len(gone) > 0 && len(gone) < len(three):
		return connectors.Finding{What: "properties", Detail: strings.Join(defined, ", ") + "; there is no " + strings.Join(gone, ", no "), Hint: howToDefine}
	}
	return connectors.Finding{OK: true, What: "properties", Detail: strings.Join(defined, ", ")}
}

func ofClock(clock connectors.Clock) connectors.Finding {
	f := connectors.Finding{OK: true, What: "clock", Detail: fmt.Sprintf("%s from this machine's", clock.Offset.Round(time.Millisecond))}
	if clock.Offset.Abs() > time.Minute {
		f.OK, f.Hint = false, "set both machines' clocks (NTP): the policy newest compares them"
	}
	return f
}

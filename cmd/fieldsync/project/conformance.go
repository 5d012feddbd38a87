package project

import (
	"context"
	"fmt"
	"strings"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/connectortest"
	"github.com/fieldsync/fieldsync/connectors/guard"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

// A Conformance is what check --conformance asks for.
type Conformance struct{ Collection, Marker, Text string }

// Conforms holds a collection to the contract that connectors are written to, each check a finding.
func (p *Project) Conforms(ctx context.Context, c *mapping.Connection, o Conformance) []report.Finding {
	list := []report.Finding{}
	held, skipped := 0, []string{}
	live := connectortest.Live{Collection: o.Collection, Marker: o.Marker, Text: o.Text, Open: func() (connectors.Connection, error) {
		if _, err := p.connection(c); err != nil { // what is missing is said there
			return nil, err
		}
		log := p.Log.With("connection", c.Name)
		return c.Config.Open(connectors.Env{Name: c.Name, Log: log, Now: p.Now, Dir: c.Dir, HTTP: guard.Client(c.Limits, log, nil, nil), Limits: c.Limits})
	}}
	err := live.Run(ctx, func(r connectortest.Result) {
		switch {
		case len(r.Failed) > 0:
			list = append(list, report.Finding{Connection: c.Name, What: r.Check, Detail: strings.Join(r.Failed, "; ")})
		case r.Skipped != "":
			skipped = append(skipped, r.Check)
		default:
			held++
			list = append(list, report.Finding{Connection: c.Name, OK: true, What: r.Check})
		}
	})
	if err != nil {
		return append(list, report.Finding{Connection: c.Name, What: "conformance", Detail: err.Error(), Hint: WayOut(err)})
	}
	f := report.Finding{Connection: c.Name, OK: held == len(list), What: "conformance", Detail: fmt.Sprintf("%d of %s hold", held, Plural(len(list), "promise"))}
	if len(skipped) > 0 {
		f.Detail += fmt.Sprintf("; %d are of abilities that it does not have", len(skipped))
	}
	if !f.OK {
		f.Hint = "connectors/README.md says what each promise is for"
	}
	return append(list, f)
}

package project

import (
	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/report"
)

// WaitingView is a conflict or a hold with the names that the mapping gives.
func (p *Project) WaitingView(w engine.Waiting) report.Waiting {
	v := report.Waiting{Conflict: w.Conflict, Hold: w.Hold}
	switch {
	case w.Conflict != nil:
		v.Sides = p.SidesOf(w.Conflict.Sync)
	case w.Hold != nil:
		v.Sides = p.SidesOf(w.Hold.Sync)
	}
	if w.Choice != nil {
		v.Take, v.By = v.Sides[w.Choice.Side], w.Choice.By
	}
	return v
}

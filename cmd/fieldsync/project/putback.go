package project

import (
	"fmt"

	"github.com/fieldsync/fieldsync/engine"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/report"
)

// Unrestorable says why one value cannot be restored.
func (p *Project) Unrestorable(s *mapping.Sync, put engine.Put) error {
	name := put.SideName + " " + put.Entry.Key
	if put.Label != "" {
		name = put.SideName + " " + put.Label
	}
	if put.Entry.Path != "" {
		name += " " + put.Entry.Path
	}
	return Hinted(fmt.Errorf("%s cannot be restored: %s", name, put.Skip), "fieldsync blame "+s.Name+" "+put.Entry.Key+" shows what it holds and what it held")
}

// PutsView shows what is to be put back, and what came of it.
func PutsView(sync string, back *engine.Putback) []report.Put {
	list := []report.Put{}
	for _, p := range back.Puts {
		x := p.Entry
		list = append(list, report.Put{ID: x.ID, Sync: sync, Side: p.SideName, Key: x.Key, Label: p.Label, Path: x.Path, Field: p.Field, From: p.From, To: x.Value,
			By: Replacer(x), Run: x.Run, At: x.At, Sensitive: p.Sensitive, Skip: p.Skip, Note: p.Note, Outcome: p.Outcome, Why: p.Why, Hint: p.Hint})
	}
	return list
}

// Replacer says who replaced a value.
func Replacer(x engine.Entry) string {
	by := "rule " + x.Rule
	switch {
	case x.Cause == engine.ByEdit:
		by = "an edit"
	case x.Cause == engine.ByPerson:
		by = "a value put back"
	case x.Cause == engine.Averted:
		by = "an edit put back"
	case x.Rule == "":
		by = "a rule"
	}
	if x.Who != "" {
		by += " by " + x.Who
	}
	return by
}

package main

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/rest"
)

// A described is a tool that is connected by a description.
type described struct {
	*rest.Outline
	name string // of the description
	auth rest.Auth
}

var noName = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// describeTool finds out what the description of a tool asks for.
func (s *starterSide) describeTool(a *app, asks bool) error {
	shipped := strings.Join(rest.Shipped(), ", ")
	if err := s.answer(a, asks, []question{{"system", "description of the tool: " + shipped + ", or a file of your own", "", false}}); err != nil {
		return err
	}
	system := s.set["system"]
	outline, err := rest.Outlined(system, "")
	if err != nil {
		return project.Hinted(fmt.Errorf("%s: %w", s.name, err), "mappings/own-tool.md leads through a description of your own")
	}
	base := filepath.Base(system)
	s.tool = &described{Outline: outline, name: noName.ReplaceAllString(strings.TrimSuffix(base, filepath.Ext(base)), "_")}
	list := []question{{"url", "address of the tool", "", false}}
	for _, d := range outline.Settings {
		q := question{d.Name, cmp.Or(d.Description, d.Name), "", d.Default != nil}
		if d.Default != nil {
			q.standard = *d.Default
		}
		list = append(list, q)
	}
	s.tool.auth = s.logsIn()
	if s.tool.auth.Kind != "" {
		for _, need := range s.tool.auth.Needs() {
			list = append(list, question{need, "its " + strings.ReplaceAll(need, "_", " "), "env:" + strings.ToUpper(s.tool.name+"_"+need), false})
		}
	}
	collection := ""
	if len(outline.Collections) > 0 {
		collection = outline.Collections[0]
	}
	list = append(list, question{"collection", "kind of record", collection, false})
	takes := []string{"system"}
	for _, q := range list {
		takes = append(takes, q.setting)
	}
	for _, k := range slices.Sorted(maps.Keys(s.set)) {
		if !slices.Contains(takes, k) {
			return project.Hinted(fmt.Errorf("%s: %s takes no %s", s.name, s.tool.name, k), "it takes "+strings.Join(takes[1:], ", ")+meaning(k, takes))
		}
	}
	return s.answer(a, asks, list)
}

// meaning is the end of a hint where a word is nearly right.
func meaning(k string, takes []string) string {
	if near := connectors.Nearest(k, takes); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}

// logsIn is the log-in that the settings are for, else the usual one of the tool.
func (s *starterSide) logsIn() rest.Auth {
	given := func(a rest.Auth) bool {
		return slices.ContainsFunc(a.Needs(), func(need string) bool { return s.set[need] != "" })
	}
	known := s.tool.Auth
	if i := slices.IndexFunc(known, given); i >= 0 {
		return known[i]
	}
	if len(known) > 0 {
		return known[0]
	}
	for _, kind := range []string{"basic", "bearer", "oauth"} {
		if a := (rest.Auth{Kind: kind}); given(a) {
			return a
		}
	}
	return rest.Auth{}
}

// toolConnection is the inside of the connection block of a tool.
func (s *starterSide) toolConnection(say func(string, ...any)) {
	say("system = %s", written(s.set["system"]))
	say("url = %s", written(s.set["url"]))
	var settings []string
	for _, d := range s.tool.Settings {
		if v := s.set[d.Name]; v != "" && (d.Default == nil || v != *d.Default) {
			settings = append(settings, d.Name+" = "+written(v))
		}
	}
	if len(settings) > 0 {
		say("settings = {\n%s\n}", strings.Join(settings, "\n"))
	}
	if a := s.tool.auth; a.Kind != "" {
		var lines []string
		for _, need := range a.Needs() {
			lines = append(lines, need+" = "+written(s.set[need]))
		}
		say("auth %q {\n%s\n}", a.Kind, strings.Join(lines, "\n"))
	}
}

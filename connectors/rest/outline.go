package rest

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// An Outline is what a description asks of whoever connects by it, for a program that writes the connection.
type Outline struct {
	Settings    []Setting
	Auth        []Auth   // the ways to log in that it knows, the usual one first; none: any
	Collections []string // by name
}

// Outlined reads what the description system asks for: a shipped one, or a file, whose path starts at dir.
func Outlined(system, dir string) (*Outline, error) {
	file, _, err := (&Config{System: system}).describe(dir)
	if err != nil {
		return nil, err
	}
	f, diags := hclsyntax.ParseConfig(file.src, file.name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, fmt.Errorf("the description cannot be read: %w", diags)
	}
	out := &Outline{}
	settings := map[string]cty.Value{}
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		switch {
		case b.Type == "setting" && len(b.Labels) == 1:
			settings[b.Labels[0]] = cty.StringVal("")
		case b.Type == "collection" && len(b.Labels) == 1:
			out.Collections = append(out.Collections, b.Labels[0])
		}
	}
	var known struct {
		Settings []Setting `hcl:"setting,block"`
		Auth     []Auth    `hcl:"auth,block"`
		Rest     hcl.Body  `hcl:",remain"`
	}
	if diags := gohcl.DecodeBody(f.Body, child(nil, settings), &known); diags.HasErrors() {
		return nil, fmt.Errorf("the description cannot be read: %w", diags)
	}
	out.Settings, out.Auth = known.Settings, known.Auth
	return out, nil
}

// Needs are the settings that a connection has to give for a log-in of this kind, beside what the description knows.
func (a Auth) Needs() []string {
	switch {
	case a.Kind == "bearer":
		return []string{"token"}
	case a.Kind == "basic" && a.Password != "":
		return []string{"key"}
	case a.Kind == "basic":
		return []string{"username", "password"}
	case a.Kind == "oauth":
		return []string{"client_id", "client_secret"}
	}
	return []string{"key"}
}

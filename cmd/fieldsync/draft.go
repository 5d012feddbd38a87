package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fieldsync/fieldsync/cmd/fieldsync/project"
	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A draft is the sync of a starter mapping before it is text.
type draft struct {
	s      *starter
	name   string
	match  [2]string
	marker bool // the right path of match is free to carry the left key
	rules  []*draftRule
	needed []string // required on the right, written by no rule
}

type draftRule struct {
	mapping.Proposal
	wrong string // why it stands as a comment only
}

// count is how many rules stand.
func (d *draft) count() int {
	n := 0
	for _, r := range d.rules {
		if r.wrong == "" {
			n++
		}
	}
	return n
}

// draft pairs the fields of both sides.
func (s *starter) draft(name string) (*draft, error) {
	d := &draft{s: s, name: name}
	left, right := s.sides[0], s.sides[1]
	proposals := mapping.Propose([2]string{left.name, right.name}, [2]*connectors.Schema{left.schema, right.schema})
	switch m, ok := s.paired(proposals); {
	case ok:
		d.match = m
	default:
		return nil, project.Hinted(fmt.Errorf("no path of %s looks as if it could carry the key of a %s, nor the other way round", right.name, left.name),
			"name the two paths that carry the same value: --match LEFT=RIGHT")
	}
	for i, side := range s.sides {
		if _, ok := side.schema.Field(d.match[i]); !ok && !side.schema.Open {
			return nil, project.Hinted(fmt.Errorf("%s has no path %q", side.name, d.match[i]), "it has "+some(side.schema))
		}
	}
	_, creates := connectors.As[connectors.Creator](right.col)
	f, _ := right.schema.Field(d.match[1])
	d.marker = creates && d.match[0] == left.schema.Key && d.match[1] != right.schema.Key && !f.ReadOnly
	writes := map[string]bool{d.match[1]: true}
	for _, p := range proposals {
		// What ties two records together is written once and never moves.
		if p.Paths[1] == d.match[1] && d.marker {
			continue
		}
		d.rules = append(d.rules, &draftRule{Proposal: p})
		writes[p.Paths[1]] = true
	}
	for _, f := range right.schema.Fields {
		if f.Required && !f.ReadOnly && !writes[f.Path] {
			d.needed = append(d.needed, f.Path)
		}
	}
	return d, nil
}

// some are a few of a collection's paths.
func some(s *connectors.Schema) string {
	var paths []string
	for _, f := range s.Fields {
		if paths = append(paths, f.Path); len(paths) == 12 {
			paths = append(paths, "…")
			break
		}
	}
	return strings.Join(paths, ", ")
}

// carriers are what fields are called that exist to hold the key of a record elsewhere, the likeliest first.
var carriers = []string{"correlation_id", "external_id", "externalid", "ext_id", "external_ref", "external_reference", "foreign_id", "remote_id", "sync_id", "sync_label", "source_id", "origin_id", "foreign", "reference", "ref"}

// carrier is the first field of a side that is called so and free; "" when there is none.
func (side *starterSide) carrier(names []string) string {
	for _, name := range names {
		for _, f := range side.schema.Fields {
			last := strings.ReplaceAll(f.Path[strings.LastIndex(f.Path, ".")+1:], " ", "_")
			if (strings.EqualFold(f.Path, name) || strings.EqualFold(last, name)) && !f.ReadOnly && f.Reference == "" && f.Path != side.schema.Key {
				return f.Path
			}
		}
	}
	return ""
}

// paired finds the two paths that tie records together: a place that one side has for the other's key, or one for keys of
// any kind, on the right first, where new records are made.
func (s *starter) paired(proposals []mapping.Proposal) ([2]string, bool) {
	left, right := s.sides[0], s.sides[1]
	if l, r, ok := strings.Cut(s.match, "="); ok {
		return [2]string{l, r}, true
	}
	own := func(other *starterSide) []string {
		return []string{other.name + "_id", other.name + "_key", other.name + "_ref", other.name + "id"}
	}
	for _, try := range []struct {
		side  record.Side
		names []string
	}{{record.Left, own(right)}, {record.Right, own(left)}, {record.Right, carriers}, {record.Left, carriers}} {
		if path := s.sides[try.side].carrier(try.names); path != "" {
			m := [2]string{left.schema.Key, right.schema.Key}
			m[try.side] = path
			return m, true
		}
	}
	for _, p := range proposals { // a number that was written back
		if p.To == [2]bool{true, false} && p.Paths[1] == right.schema.Label {
			return p.Paths, true
		}
	}
	return [2]string{}, false
}

// text is the sync as a person would have written it.
func (d *draft) text() []byte {
	var b bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	l, r := d.s.sides[0], d.s.sides[1]
	say("# Proposed from what both systems say of their fields. Look through it: every rule says why it is here.")
	say("# fieldsync plan shows what it would do; nothing is written before fieldsync apply.")
	say("")
	for _, rule := range d.rules {
		if rule.Rows != nil && rule.wrong == "" {
			d.translation(say, rule)
		}
	}
	say("sync %q {", d.name)
	say("# schedule = \"*/5 * * * *\" # for fieldsync serve: every five minutes")
	say("first    = %q # who leads when two records meet for the first time", l.name)
	say("conflict = \"ask\" # when both sides changed a field, a person decides")
	say("")
	for i, side := range d.s.sides {
		say("side %q {", side.name)
		say("connection = connection.%s", side.conn)
		say("collection = %q", side.collection)
		say("# where = \"%s.%s == '…'\" # the scope: start small, with one record", side.name, side.schema.Key)
		if i == 1 && d.marker {
			say("create = true # a new %s becomes %s; take it out to pair records alone", l.name, article(r.name))
		}
		say("}")
	}
	say("")
	if d.marker {
		say("# The marker: %s carries the key of its %s. It is written on create and looked up before any retry.", d.match[1], l.name)
	} else {
		say("# Records belong together where these carry the same value.")
	}
	say("match {\n%s = %q\n%s = %q\n}", l.name, d.match[0], r.name, d.match[1])
	say("")
	for _, rule := range d.rules {
		d.field(say, rule)
	}
	d.closing(say)
	for _, path := range d.needed {
		say("# %s requires %s, and nothing of %s looks like it. If creates are refused, write a rule:", r.name, path, l.name)
		say("# field %q {\n#   flow = \"%s -> %s\"\n#   %s = %q\n#   to_%s = \"'…'\"\n# }", path, l.name, r.name, r.name, path, r.name)
	}
	d.talk(say)
	say("\nlimits {\ncreates = 200\nupdates = 1000\ndeletes = \"1%%\"\n}")
	say("}")
	return b.Bytes()
}

func article(name string) string {
	if strings.ContainsRune("aeiou", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

func (d *draft) translation(say func(string, ...any), rule *draftRule) {
	say("translation %q {", rule.Name)
	say("columns = [%q, %q]", d.s.sides[0].name, d.s.sides[1].name)
	say("rows = [")
	for _, row := range rule.Rows {
		say("[%s, %s],%s", literal(row[0]), literal(row[1]), d.meaning(rule, row[1]))
	}
	say("]")
	for i, rest := range rule.Left {
		var list []string
		for _, v := range rest {
			text := v.String()
			if l := d.label(i, rule.Paths[i], v); l != "" {
				text += " " + l
			}
			list = append(list, text)
		}
		if len(list) > 0 {
			say("# Held until there is a row for them, %s: %s", d.s.sides[i].name, strings.Join(list, ", "))
		}
	}
	say("}\n")
}

// meaning is a comment with the label of a right value that is a code.
func (d *draft) meaning(rule *draftRule, v record.Value) string {
	if l := d.label(1, rule.Paths[1], v); l != "" {
		return " # " + l
	}
	return ""
}

func (d *draft) label(side int, path string, v record.Value) string {
	f, _ := d.s.sides[side].schema.Field(path)
	for _, c := range f.Choices {
		if c.Value == v && c.Label != "" && c.Label != v.Plain() {
			return strings.ReplaceAll(c.Label, "\n", " ")
		}
	}
	return ""
}

func (d *draft) field(say func(string, ...any), rule *draftRule) {
	l, r := d.s.sides[0].name, d.s.sides[1].name
	lines := []string{fmt.Sprintf("field %q {", rule.Name)}
	switch {
	case !rule.To[0]:
		lines = append(lines, fmt.Sprintf("flow = \"%s -> %s\"", l, r))
	case !rule.To[1]:
		lines = append(lines, fmt.Sprintf("flow = \"%s <- %s\"", l, r))
	}
	lines = append(lines, fmt.Sprintf("%s = %q", l, rule.Paths[0]), fmt.Sprintf("%s = %q", r, rule.Paths[1]))
	if rule.Rows != nil {
		lines = append(lines, "via = translation."+rule.Name)
	}
	lines = append(lines, "}")
	say("# %s%s.", strings.ToUpper(rule.Why[:1]), rule.Why[1:])
	if rule.wrong == "" {
		say("%s", strings.Join(lines, "\n"))
		return
	}
	say("# It cannot stand as it is. %s", rule.wrong)
	for _, line := range lines {
		say("# %s", line)
	}
}

// closing proposes what ServiceNow's data policy asks for beside the states resolved and closed.
func (d *draft) closing(say func(string, ...any)) {
	l, r := d.s.sides[0], d.s.sides[1]
	code, hasCode := r.schema.Field("close_code")
	_, hasNotes := r.schema.Field("close_notes")
	i := slices.IndexFunc(d.rules, func(rule *draftRule) bool { return rule.Name == "state" && rule.wrong == "" && rule.To[1] })
	if !hasCode || !hasNotes || i < 0 {
		return
	}
	var done []string
	for _, row := range d.rules[i].Rows {
		if v := row[1].Plain(); v == "6" || v == "7" {
			word := row[0].Plain()
			if row[0].Kind() == record.Text {
				word = "'" + strings.ReplaceAll(word, "'", "\\'") + "'"
			}
			done = append(done, word)
		}
	}
	if len(done) == 0 {
		return
	}
	why := "Solution provided"
	if len(code.Choices) > 0 {
		why = code.Choices[0].Value.Plain()
		for _, c := range code.Choices {
			if v := strings.ToLower(c.Value.Plain()); strings.HasPrefix(v, "solution") || strings.HasPrefix(v, "solved (perm") {
				why = c.Value.Plain()
				break
			}
		}
	}
	say("# ServiceNow refuses to resolve without these two; they travel in the same write as the state.")
	say("field \"closing\" {\nflow = \"%s -> %s\"\n%s = [\"close_code\", \"close_notes\"]", l.name, r.name, r.name)
	say("when = %s", literal(record.OfText(fmt.Sprintf("%s.%s in [%s]", l.name, d.rules[i].Paths[0], strings.Join(done, ", ")))))
	say("to_%s = %s\n}", r.name, literal(record.OfText("['"+strings.ReplaceAll(why, "'", "\\'")+"', 'Resolved']")))
}

// talk proposes how comments and files travel, as comments: what people write to each other goes nowhere before a person
// has looked at who reads it there.
func (d *draft) talk(say func(string, ...any)) {
	l, r := d.s.sides[0], d.s.sides[1]
	names := [2]string{l.name, r.name}
	flow := map[[2]bool]string{{true, true}: "<->", {false, true}: "->", {true, false}: "<-"}
	for _, kind := range []struct {
		name    string
		threads [2][]connectors.Thread
		more    [2]string
	}{
		{"comments", [2][]connectors.Thread{l.schema.Threads, r.schema.Threads}, [2]string{"format", "\"'[' + author + ' ' + time + '] ' + text\""}},
		{"attachments", [2][]connectors.Thread{l.schema.Files, r.schema.Files}, [2]string{"max_size", "\"10MiB\""}},
	} {
		c, ok := mapping.ProposeThreads(names, kind.threads)
		if !ok {
			continue
		}
		say("# To carry %s, take the # from these lines: %s.", kind.name, c.Why)
		if !c.Sure {
			say("# Make sure first that nobody reads there what they should not: what is internal is to stay so.")
		}
		say("# %s {", kind.name)
		lines := [][2]string{{names[0], fmt.Sprintf("%q", c.Paths[0])}, {names[1], fmt.Sprintf("%q", c.Paths[1])},
			{"flow", fmt.Sprintf("\"%s %s %s\"", l.name, flow[c.To], r.name)}, kind.more}
		width := 0
		for _, line := range lines {
			width = max(width, len(line[0]))
		}
		for _, line := range lines {
			say("#   %-*s = %s", width, line[0], line[1])
		}
		say("# }")
	}
}

// connections is the file of both connection blocks.
func (s *starter) connections() []byte {
	var b bytes.Buffer
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("# Where the systems are. Credentials come from outside, so that this folder can be kept under version control.\n")
	say("fieldsync {\nstate = \"fieldsync.db\" # beside this file; made by the first apply, readable by you alone\n}\n")
	for _, side := range s.sides {
		var auth, table []string
		say("connection %q %q {", side.kind, side.conn)
		if side.tool != nil {
			side.toolConnection(say)
			say("}\n")
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(side.set)) {
			line := fmt.Sprintf("%s = %s", strings.TrimSuffix(k, "_secret"), written(side.set[k]))
			if k == "client_secret" {
				line = fmt.Sprintf("client_secret = %s", written(side.set[k]))
			}
			switch {
			case slices.Contains(authSettings, k):
				auth = append(auth, line)
			case slices.Contains(collectionSettings, k):
				table = append(table, line)
			default:
				say("%s", line)
			}
		}
		if len(auth) > 0 {
			say("auth %q {\n%s\n}", side.login(), strings.Join(auth, "\n"))
		}
		if len(table) > 0 {
			say("collection %q {\n%s\n}", side.collection, strings.Join(table, "\n"))
		}
		say("}\n")
	}
	return mapping.Format(b.Bytes())
}

// login is the kind of log-in that the settings are of.
func (side *starterSide) login() string {
	switch {
	case side.set["client_id"] != "":
		return "oauth"
	case side.set["key_secret"] != "":
		return "api_key"
	case side.set["username"] != "":
		return "basic"
	}
	return "bearer"
}

// written is a setting as HCL: a text, or where it comes from.
func written(v string) string {
	if name, ok := strings.CutPrefix(v, "env:"); ok {
		return fmt.Sprintf("env(%q)", name)
	}
	if path, ok := strings.CutPrefix(v, "file:"); ok {
		return fmt.Sprintf("file(%q)", path)
	}
	return literal(record.OfText(v))
}

// literal is a value as HCL has it, in which ${ would begin a template.
func literal(v record.Value) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(v.String())
}

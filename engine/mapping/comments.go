package mapping

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

// A commentsBlock is a comments block: where each side keeps its comments and which way they are carried.
type commentsBlock struct {
	paths   [2]ref
	leads   [2]bool // by the side that gets them
	public  bool    // internal notes may become comments that customers read
	history bool
	format  *expression.Program // nil: the text alone
	source  hcl.Expression      // of format
	at      hcl.Range
}

func (l *loader) comments(s *Sync, b *hcl.Block) {
	names := s.names()
	attrs := l.only(b, names[0], names[1], "flow", "format", "public", "history")
	c := &commentsBlock{at: b.DefRange, leads: [2]bool{true, true}}
	for i, name := range names {
		a := attrs[name]
		if a == nil {
			l.fail(b.DefRange, "Missing path", "Comments stand under a path of each side; the one of %q is missing: add %s = \"…\".", name, name)
			continue
		}
		switch refs := l.names(a.Expr); {
		case len(refs) > 1:
			l.fail(a.Expr.Range(), "One path expected", "Comments of a side stand in one path.")
		case len(refs) == 1:
			c.paths[i] = refs[0]
		}
	}
	if a := attrs["flow"]; a != nil {
		c.leads, _ = l.flow(s, a.Expr)
	}
	if a := attrs["public"]; a != nil {
		c.public, _ = l.truth(a.Expr)
	}
	if a := attrs["history"]; a != nil {
		c.history, _ = l.truth(a.Expr)
	}
	if c.source = l.optional(attrs["format"]); c.source != nil {
		word := func(name string) expression.Variable {
			return expression.Variable{Name: name, Fields: map[string]record.Type{"": {Kind: record.Text}}}
		}
		scope := expression.Scope{Vars: []expression.Variable{word("author"), word("time"), word("text")}, Locals: l.plainLocals(), Functions: l.functions}
		var diags hcl.Diagnostics
		c.format, diags = expression.Compile(c.source, l.ctx, scope, expression.Any)
		l.add(diags...)
		if c.format != nil && len(c.format.Reads()["text"]) == 0 {
			l.fail(c.source.Range(), "Format without the text", "This format leaves out what the comment says. Use text in it, such as \"author + ': ' + text\".")
		}
	}
	s.body.comments = c
}

// comments makes the rule of the block, holding its paths against what the two systems say of their comments.
func (k *compiler) comments() *reconcile.Comments {
	b := k.s.body.comments
	if b == nil {
		return nil
	}
	var readers [2]connectors.Readers
	var edits [2]bool
	for i, p := range b.paths {
		th := k.thread(i, p)
		readers[i], edits[i] = th.Readers, th.Editable
		k.addable("comments", i, p, th, b.leads)
	}
	k.staffOnly(staffRule{"notes", b.paths, [2]string{b.paths[0].text, b.paths[1].text}, b.leads, readers, b.public})
	fmt.Fprintf(&k.digest, "comments %q %q %v %t\n", b.paths[0].text, b.paths[1].text, b.leads, b.history)
	k.note("format", b.source)
	return &reconcile.Comments{At: at(b.at), Paths: [2]string{b.paths[0].text, b.paths[1].text}, To: b.leads, Edits: edits, History: b.history, Text: b.text}
}

// text is what a copy of a comment says.
func (b *commentsBlock) text(author string, at time.Time, text string) (string, error) {
	if b.format == nil {
		return text, nil
	}
	when := ""
	if !at.IsZero() {
		when = at.UTC().Format(time.DateTime) + " UTC"
	}
	v, err := b.format.Run(map[string]expression.Getter{
		"author": plainly(author), "time": plainly(when), "text": plainly(text),
	}, at)
	switch {
	case err != nil:
		return "", err
	case !v.Known() || strings.TrimSpace(v.Plain()) == "":
		return "", errors.New("the format makes no text of it")
	}
	return v.Plain(), nil
}

func plainly(s string) expression.Getter {
	return func(string) record.Value { return record.OfText(s) }
}

// thread checks that comments stand under p and finds what is known of them.
func (k *compiler) thread(side int, p ref) connectors.Thread {
	sc := k.schema[side]
	if sc == nil || p.text == "" {
		return connectors.Thread{}
	}
	s := k.s.Sides[side]
	names := make([]string, len(sc.Threads))
	for i, t := range sc.Threads {
		if names[i] = t.Path; t.Path == p.text {
			return t
		}
	}
	switch {
	case len(names) == 0:
		k.add(warn(p.at, "No comments here", "The collection %q of side %q keeps no comments that can be carried: none are, and the fields flow. Where they stand in a table of their own, declare it in the connection: collection %q { comments %q { table = \"…\" } }.", s.Collection, s.Name, s.Collection, p.text))
	case sc.Hidden || sc.Open:
		k.add(warn(p.at, "Path is not described", "The collection %q of side %q does not describe %q; it may have fields that this user cannot see.%s", s.Collection, s.Name, p.text, suggestion(p.text, names)))
	default:
		k.fail(p.at, "Unknown path of comments", "The collection %q of side %q keeps its comments under %s, not %q.%s", s.Collection, s.Name, oneOf(names), p.text, suggestion(p.text, names))
	}
	return connectors.Thread{}
}

package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/reconcile"
)

// defaultMaxSize is the largest file that is carried where nobody says: what mail systems take, too.
const defaultMaxSize = 10 << 20

// An attachmentsBlock is an attachments block: which files are carried which way.
type attachmentsBlock struct {
	paths   [2]ref  // without text where the block leaves the choice to the system
	leads   [2]bool // by the side that gets them
	maxSize int64
	types   []string
	public  bool // files for staff may become files that customers see
	history bool
	at      hcl.Range
}

func (l *loader) attachments(s *Sync, b *hcl.Block) {
	names := s.names()
	attrs := l.only(b, names[0], names[1], "flow", "max_size", "types", "public", "history")
	at := &attachmentsBlock{at: b.DefRange, leads: [2]bool{true, true}, maxSize: defaultMaxSize}
	for i, name := range names {
		at.paths[i].at = b.DefRange
		a := attrs[name]
		if a == nil {
			continue
		}
		switch refs := l.names(a.Expr); {
		case len(refs) > 1:
			l.fail(a.Expr.Range(), "One path expected", "Attachments of a side stand in one path.")
		case len(refs) == 1:
			at.paths[i] = refs[0]
		}
	}
	if a := attrs["flow"]; a != nil {
		at.leads, _ = l.flow(s, a.Expr)
	}
	if a := attrs["max_size"]; a != nil {
		if w, ok := l.text(a.Expr); ok {
			if at.maxSize, ok = sizeOf(w); !ok {
				l.fail(a.Expr.Range(), "Not a size", "%q is not a size; write \"500KiB\", \"10MiB\" or \"1GiB\".", w)
			}
		}
	}
	if a := attrs["types"]; a != nil {
		for _, t := range l.names(a.Expr) {
			if !mediaRange.MatchString(t.text) {
				l.fail(t.at, "Not a media type", "%q is not a media type; write \"text/plain\", or \"image/*\" for all of a family.", t.text)
			}
			at.types = append(at.types, t.text)
		}
		if len(at.types) == 0 {
			l.fail(a.Expr.Range(), "No media types", "With an empty list nothing would be carried. Name the types, such as [\"image/*\", \"text/plain\"], or leave types out to carry files of every type.")
		}
	}
	if a := attrs["public"]; a != nil {
		at.public, _ = l.truth(a.Expr)
	}
	if a := attrs["history"]; a != nil {
		at.history, _ = l.truth(a.Expr)
	}
	s.body.attachments = at
}

var mediaRange = regexp.MustCompile(`^(\*/\*|[A-Za-z0-9][A-Za-z0-9.+_-]*/(\*|[A-Za-z0-9][A-Za-z0-9.+_-]*))$`)

// sizeOf reads a number of bytes with its unit.
func sizeOf(s string) (int64, bool) {
	number := strings.TrimRight(s, "BKMGTi")
	units := []string{"", "B", "KiB", "MiB", "GiB", "KB", "MB", "GB"}
	sizes := []float64{1, 1, 1 << 10, 1 << 20, 1 << 30, 1e3, 1e6, 1e9}
	unit := slices.Index(units, s[len(number):])
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || unit < 0 || !(n > 0) || n*sizes[unit] < 1 || n*sizes[unit] > 1<<40 {
		return 0, false
	}
	return int64(n * sizes[unit]), true
}

// attachments makes the rule of the block, holding its paths against what the two systems say of their files.
func (k *compiler) attachments() *reconcile.Attachments {
	b := k.s.body.attachments
	if b == nil {
		return nil
	}
	var paths [2]string
	var readers [2]connectors.Readers
	for i, p := range b.paths {
		th := k.files(i, p)
		paths[i], readers[i] = th.Path, th.Readers
		k.addable("files", i, p, th, b.leads)
	}
	k.staffOnly(staffRule{"files", b.paths, paths, b.leads, readers, b.public})
	fmt.Fprintf(&k.digest, "attachments %q %v %d %q %t\n", paths, b.leads, b.maxSize, b.types, b.history)
	return &reconcile.Attachments{At: at(b.at), Paths: paths, To: b.leads, MaxSize: b.maxSize, Types: b.types, History: b.history}
}

// files finds the path of a side's attachments: the one that the block names, or the only one that there is.
func (k *compiler) files(side int, p ref) connectors.Thread {
	sc := k.schema[side]
	if sc == nil {
		return connectors.Thread{Path: p.text}
	}
	s := k.s.Sides[side]
	names := make([]string, len(sc.Files))
	for i, f := range sc.Files {
		if names[i] = f.Path; f.Path == p.text || p.text == "" && len(sc.Files) == 1 {
			return f
		}
	}
	switch {
	case len(names) == 0:
		k.add(warn(p.at, "No attachments here", "The collection %q of side %q keeps no attachments that can be carried: none are, and the fields flow. Where they stand in a table of their own, declare it in the connection: collection %q { attachments \"files\" { table = \"…\" } }.",
			s.Collection, s.Name, s.Collection))
	case p.text == "":
		k.fail(p.at, "Several kinds of attachments", "The collection %q of side %q keeps its attachments under %s. Say which of them: %s = %q.", s.Collection, s.Name, oneOf(names), s.Name, names[0])
	default:
		k.fail(p.at, "Unknown path of attachments", "The collection %q of side %q keeps its attachments under %s, not %q.%s", s.Collection, s.Name, oneOf(names), p.text, suggestion(p.text, names))
	}
	return connectors.Thread{Path: p.text}
}

// addable is an error where comments or files are to be added to what the system only shows.
func (k *compiler) addable(what string, side int, p ref, th connectors.Thread, leads [2]bool) {
	if s := k.s.Sides; th.ReadOnly && leads[side] {
		away := fmt.Sprintf("flow = \"%s -> %s\"", s[side].Name, s[1-side].Name)
		k.fail(p.at, "Nothing can be added here", "The %s of %s under %q can only be read. Let them flow away from there: %s.", what, s[side].Name, th.Path, away)
	}
}

// A staffRule is what has to be known to keep what is for staff from customers.
type staffRule struct {
	what    string // notes or files
	at      [2]ref
	paths   [2]string
	leads   [2]bool
	readers [2]connectors.Readers
	public  bool
}

func (k *compiler) staffOnly(r staffRule) {
	for i := range 2 {
		if r.leads[i] && r.readers[1-i] == connectors.Staff && r.readers[i] == connectors.Public && !r.public {
			k.fail(r.at[i].at, "Internal "+r.what+" would become public", "%q of %s is for staff alone, and customers read %q of %s. If they are to read these %s, write public = true in this block; else name another path.",
				r.paths[1-i], k.s.Sides[1-i].Name, r.paths[i], k.s.Sides[i].Name, r.what)
		}
	}
}

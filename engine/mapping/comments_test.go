package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/record"
)

// talk loads the example with another comments block.
func talk(t *testing.T, block string) (*mapping.Config, *mapping.Sync) {
	t.Helper()
	files := example(t)
	src := string(files["example.hcl"])
	from := strings.Index(src, "  comments {")
	to := from + strings.Index(src[from:], "  }\n")
	files["example.hcl"] = []byte(src[:from] + "  comments {\n" + block + "\n" + src[to:])
	c, diags := mapping.Parse(files, ".", options())
	if diags.HasErrors() {
		t.Fatal(show(c, diags))
	}
	s, _ := c.Sync("ticket_to_incident")
	return c, s
}

func TestCommentsBecomeARule(t *testing.T) {
	c, s := talk(t, "ticket = \"comments\"\nincident = \"work_notes\"\nflow = \"ticket -> incident\"\nformat = \"'[' + author + ' ' + time + '] ' + text\"")
	compiled, diags := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
	if compiled == nil {
		t.Fatal(show(c, diags))
	}
	r := compiled.Rules.Comments
	if r == nil || r.Paths != [2]string{"comments", "work_notes"} || r.To != [2]bool{record.Right: true} || r.History {
		t.Fatalf("the rule is %+v", r)
	}
	at := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		author string
		at     time.Time
		text   string
		want   string
	}{
		{"ann", at, "help\nme", "[ann 2026-03-01 12:00:00 UTC] help\nme"},
		{"", time.Time{}, "help", "[ ] help"},
	} {
		if got, err := r.Text(tt.author, tt.at, tt.text); err != nil || got != tt.want {
			t.Errorf("text is %q, %v; want %q", got, err, tt.want)
		}
	}
	c2, s2 := talk(t, "ticket = \"comments\"\nincident = \"work_notes\"\nhistory = true")
	plain, _ := c2.Compile(s2, [2]*connectors.Schema{tickets(), incidents()})
	if got, err := plain.Rules.Comments.Text("ann", at, " as it is "); got != " as it is " || err != nil {
		t.Errorf("without a format the text is %q, %v", got, err)
	}
	if p := plain.Rules.Comments; !p.History || p.To != [2]bool{true, true} || plain.Rules.Digest == compiled.Rules.Digest {
		t.Errorf("the rule is %+v, and its digest says no difference", p)
	}
}

func TestNothingIsAddedToWhatCanOnlyBeRead(t *testing.T) {
	for _, tt := range []struct {
		name, flow string
		refused    bool
	}{
		{"both ways", "ticket <-> incident", true},
		{"to it", "incident -> ticket", true},
		{"away from it", "ticket -> incident", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for kind, load := range map[string]func() (*mapping.Config, *mapping.Sync){
				"comments": func() (*mapping.Config, *mapping.Sync) {
					return talk(t, "ticket = \"comments\"\nincident = \"work_notes\"\nflow = \""+tt.flow+"\"")
				},
				"files": func() (*mapping.Config, *mapping.Sync) { return enclose(t, "flow = \""+tt.flow+"\"") },
			} {
				c, s := load()
				desk := tickets()
				for i := range desk.Threads {
					desk.Threads[i].ReadOnly = kind == "comments"
				}
				for i := range desk.Files {
					desk.Files[i].ReadOnly = kind == "files"
				}
				_, diags := c.Compile(s, [2]*connectors.Schema{desk, incidents()})
				if got := slices.Contains(summaries(diags), "Nothing can be added here"); got != tt.refused || diags.HasErrors() != tt.refused {
					t.Errorf("%s: %s", kind, show(c, diags))
				}
			}
		})
	}
}

func TestInternalNotesStayInternal(t *testing.T) {
	public, staff, open := connectors.Public, connectors.Staff, connectors.SomeReaders
	const both = "ticket = \"comments\"\nincident = \"work_notes\"\n"
	for _, tt := range []struct {
		name             string
		ticket, incident connectors.Readers
		block            string
		refused          bool
	}{
		{"internal notes to customers", public, staff, both, true},
		{"internal notes to customers, in the other direction", staff, public, both, true},
		{"with the word for it", public, staff, both + "public = true", false},
		{"only away from the customers", public, staff, both + "flow = \"ticket -> incident\"", false},
		{"notes of staff to staff", staff, staff, both, false},
		{"to readers that nobody knows, whose path the block names", open, staff, both, false},
		{"public both ways", public, public, both, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := talk(t, tt.block)
			left, right := tickets(), incidents()
			left.Threads = []connectors.Thread{{Path: "comments", Readers: tt.ticket}}
			right.Threads = []connectors.Thread{{Path: "work_notes", Readers: tt.incident}}
			_, diags := c.Compile(s, [2]*connectors.Schema{left, right})
			if got := slices.Contains(summaries(diags), "Internal notes would become public"); got != tt.refused || diags.HasErrors() != tt.refused {
				t.Errorf("refused: %t, want %t\n%s", got, tt.refused, show(c, diags))
			}
		})
	}
}

func TestCommentsThatNoSystemKeeps(t *testing.T) {
	c, s := talk(t, "ticket = \"comment\"\nincident = \"work_notes\"")
	left, right := tickets(), incidents()
	_, diags := c.Compile(s, [2]*connectors.Schema{left, right})
	if got := show(c, diags); !strings.Contains(got, `Did you mean "comments"?`) || !diags.HasErrors() {
		t.Errorf("a name that is nearly right: %s", got)
	}
	left.Threads = nil
	_, diags = c.Compile(s, [2]*connectors.Schema{left, right})
	if got := summaries(diags); !slices.Contains(got, "No comments here") || diags.HasErrors() {
		t.Errorf("a collection without comments keeps the fields from flowing, or nobody says so: %v", got)
	}
	left, right.Hidden = tickets(), true
	left.Threads, right.Threads = []connectors.Thread{{Path: "comment"}}, []connectors.Thread{{Path: "comments"}}
	_, diags = c.Compile(s, [2]*connectors.Schema{left, right})
	if diags.HasErrors() || !slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == "Path is not described" }) {
		t.Errorf("a journal that this user may not see described: %s", show(c, diags))
	}
}

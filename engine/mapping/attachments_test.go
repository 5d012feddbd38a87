package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
)

// enclose loads the example with another attachments block.
func enclose(t *testing.T, block string) (*mapping.Config, *mapping.Sync) {
	t.Helper()
	files := example(t)
	src := string(files["example.hcl"])
	from := strings.Index(src, "  attachments {")
	to := from + strings.Index(src[from:], "  }\n")
	files["example.hcl"] = []byte(src[:from] + "  attachments {\n" + block + "\n" + src[to:])
	c, diags := mapping.Parse(files, ".", options())
	if diags.HasErrors() {
		t.Fatal(show(c, diags))
	}
	s, _ := c.Sync("ticket_to_incident")
	return c, s
}

func TestAttachmentsBecomeARule(t *testing.T) {
	for _, tt := range []struct {
		name, block string
		want        reconcile.Attachments
	}{
		{"an empty block carries everything of a sensible size both ways", "",
			reconcile.Attachments{To: [2]bool{true, true}, MaxSize: 10 << 20}},
		{"one way and smaller", "flow = \"ticket -> incident\"\nmax_size = \"1.5MiB\"",
			reconcile.Attachments{To: [2]bool{false, true}, MaxSize: 3 << 19}},
		{"everything said", "ticket = \"files\"\nincident = \"attachments\"\nflow = \"ticket <-> incident\"\nmax_size = \"500 KB\"\ntypes = [\"image/*\", \"text/plain\"]\nhistory = true",
			reconcile.Attachments{To: [2]bool{true, true}, MaxSize: 500_000, Types: []string{"image/*", "text/plain"}, History: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := enclose(t, tt.block)
			compiled, diags := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
			if compiled == nil {
				t.Fatal(show(c, diags))
			}
			got := *compiled.Rules.Attachments
			if !strings.HasPrefix(got.At, "example.hcl:") {
				t.Errorf("it stands at %q", got.At)
			}
			got.At, tt.want.Paths = "", [2]string{"files", "attachments"}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the rule (-want +got):\n%s", diff)
			}
		})
	}
	digest := map[string]bool{}
	for _, block := range []string{"", "max_size = \"1MiB\"", "types = [\"text/plain\"]", "history = true", "flow = \"ticket -> incident\""} {
		c, s := enclose(t, block)
		compiled, _ := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
		if digest[compiled.Rules.Digest] {
			t.Errorf("the digest of the rules says nothing about %q", block)
		}
		digest[compiled.Rules.Digest] = true
	}
}

func TestAttachmentsThatNoSystemKeeps(t *testing.T) {
	for _, tt := range []struct {
		name, block string
		ticket      []connectors.Thread
		summary     string
		says        string
	}{
		{"a name that is nearly right", "ticket = \"file\"", []connectors.Thread{{Path: "files"}}, "Unknown path of attachments", `Did you mean "files"?`},
		{"a collection without attachments", "", nil, "No attachments here", `attachments "files" { table`},
		{"several kinds and no choice", "", []connectors.Thread{{Path: "files"}, {Path: "shots"}}, "Several kinds of attachments", `ticket = "files"`},
		{"files of staff that customers would see", "", []connectors.Thread{{Path: "files", Readers: connectors.Staff}}, "Internal files would become public", "public = true"},
		{"the same with the word for it", "public = true", []connectors.Thread{{Path: "files", Readers: connectors.Staff}}, "", ""},
		{"the same away from the customers", "flow = \"ticket <- incident\"", []connectors.Thread{{Path: "files", Readers: connectors.Staff}}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := enclose(t, tt.block)
			left := tickets()
			left.Files = tt.ticket
			_, diags := c.Compile(s, [2]*connectors.Schema{left, incidents()})
			got := show(c, diags)
			if diags.HasErrors() != (tt.summary != "" && tt.ticket != nil) || tt.summary != "" && !slices.Contains(summaries(diags), tt.summary) || !strings.Contains(got, tt.says) {
				t.Errorf("want %q and %q, got:\n%s", tt.summary, tt.says, got)
			}
		})
	}
}

func TestMediaTypesAreMatchedByFamily(t *testing.T) {
	for _, tt := range []struct {
		types []string
		kind  string
		want  bool
	}{
		{nil, "", true},
		{nil, "video/mp4", true},
		{[]string{"image/*"}, "image/png", true},
		{[]string{"image/*"}, "IMAGE/PNG", true},
		{[]string{"image/*"}, "imagery/png", false},
		{[]string{"text/plain"}, "text/plain; charset=utf-8", true},
		{[]string{"text/plain"}, "text/html", false},
		{[]string{"text/plain", "image/*"}, "", false},
		{[]string{"application/octet-stream"}, "", true},
		{[]string{"*/*"}, "", true},
	} {
		if got := (&reconcile.Attachments{Types: tt.types}).Allows(tt.kind); got != tt.want {
			t.Errorf("%v allow %q: %t, want %t", tt.types, tt.kind, got, tt.want)
		}
	}
}

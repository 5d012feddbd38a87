package mapping_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
	"github.com/fieldsync/fieldsync/engine/reconcile"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestADirectoryIsOneConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]string{
		"b.hcl":      "sync \"main\" {" + strings.SplitN(sound, "sync \"main\" {", 2)[1],
		"a.hcl":      strings.SplitN(sound, "sync \"main\" {", 2)[0],
		"notes.txt":  "sync {",
		".#a.hcl":    "an editor's lock",
		"sub/c.hcl":  "broken",
		"table.hcl~": "broken",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, diags := mapping.Load(dir, options())
	if len(diags) > 0 {
		t.Fatal(show(c, diags))
	}
	if want := filepath.Join(dir, "b.hcl"); len(c.Files) != 2 || c.Files[want] == nil || len(c.Syncs) != 1 {
		t.Errorf("files are %v", c.Files)
	}
	if want := filepath.Join(dir, "fieldsync.db"); c.Settings.State != want || c.Connections[0].Dir != dir {
		t.Errorf("state is %s", c.Settings.State)
	}
}

func TestVariablesAndLocals(t *testing.T) {
	const src = `
variable "host" {
  default     = "a.example"
  description = "where it is"
}
variable "port" {
  default = 80
}
variable "rows" {
  default = [["a", "b"]]
}
locals {
  url  = "http://${local.both}"
  both = "${var.host}:${var.port + 1}"
}
fieldsync {
  state = local.url
}
translation "t" {
  columns = ["x", "y"]
  rows    = var.rows
}
`
	for _, tt := range []struct {
		name string
		vars map[string]string
		want string
		row  string
		err  string
	}{
		{"defaults", nil, "http://a.example:81", "b", ""},
		{"a number keeps its type", map[string]string{"port": "90"}, "http://a.example:91", "b", ""},
		{"a list is written as in a file", map[string]string{"rows": `[["a", "c"]]`}, "http://a.example:81", "c", ""},
		{"a number that is none", map[string]string{"port": "many"}, "", "b", "Wrong kind of value"},
		{"a variable that does not exist", map[string]string{"prt": "1"}, "", "b", "Unknown variable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options()
			o.Vars = tt.vars
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", o)
			if tt.err != "" {
				if got := summaries(diags); len(got) != 1 || got[0] != tt.err {
					t.Errorf("diagnostics: %s", show(c, diags))
				}
				return
			}
			if diags.HasErrors() || c.Settings.State != tt.want {
				t.Errorf("state is %q\n%s", c.Settings.State, show(c, diags))
			}
			if v, err := c.Translations[0].Translate(0, record.OfText("a"), time.Time{}); v.Text() != tt.row || err != nil {
				t.Errorf("row is %v, %v", v, err)
			}
		})
	}
}

func TestAConnectionWaitsForWhatIsMissing(t *testing.T) {
	const src = `
locals {
  token = env("NOC_TOKEN")
}
connection "properties" "direct" {
  url   = env("NOC_URL")
  token = file("token.txt")
}
connection "properties" "local" {
  url   = env("NOC_URL", "http://x")
  token = local.token
}
connection "properties" "command" {
  token = command("no-such-program-here", "x")
}
`
	c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, t.TempDir(), options())
	if diags.HasErrors() || len(diags) != 4 {
		t.Error(show(c, diags))
	}
	var underlined []string
	for _, d := range diags {
		underlined = append(underlined, src[d.Subject.Start.Byte:d.Subject.End.Byte])
	}
	if diff := cmp.Diff([]string{`env("NOC_URL")`, `file("token.txt")`, `local.token`, `command("no-such-program-here", "x")`}, underlined); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{"direct": "NOC_URL", "local": "NOC_TOKEN", "command": "command("} {
		n, _ := c.Connection(name)
		if !slices.ContainsFunc(n.Missing, func(m string) bool { return strings.HasPrefix(m, want) }) {
			t.Errorf("%s misses %q", name, n.Missing)
		}
	}
}

func TestSecretsComeFromFilesAndCommands(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const src = `
connection "properties" "a" {
  token = file("token")
}
connection "properties" "b" {
  token = command("cat", "token")
}
`
	c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, dir, options())
	if len(diags) > 0 {
		t.Fatal(show(c, diags))
	}
	for _, n := range c.Connections {
		if !slices.Equal(n.Secrets, []string{"s3cret"}) || n.Config.(*properties).Token.Reveal() != "s3cret" {
			t.Errorf("secrets of %s are %q", n.Name, n.Secrets)
		}
	}
}

func TestIdentityIsTheSystemNotThePassword(t *testing.T) {
	identity := func(url, user, password string) string {
		src := "connection \"servicenow\" \"a\" {\n url = \"" + url + "\"\n auth \"basic\" {\n username = \"" + user + "\"\n password = \"" + password + "\"\n }\n}\n"
		c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
		if len(diags) > 0 {
			t.Fatal(show(c, diags))
		}
		return c.Connections[0].Identity
	}
	one := identity("http://a", "u", "p")
	if one != identity("http://a", "u", "another") {
		t.Error("a new password makes another system")
	}
	if one == identity("http://b", "u", "p") || one == identity("http://a", "v", "p") {
		t.Error("another address or account is the same system")
	}
}

func TestASecretAddressIsPartOfTheIdentity(t *testing.T) {
	identity := func(address string) string {
		c, _ := mapping.Parse(map[string][]byte{"a.hcl": []byte("connection \"properties\" \"a\" {\n token = \"" + address + "\"\n}\n")}, ".", options())
		return c.Connections[0].Identity
	}
	one := identity("postgres://u:p@host/db")
	if one != identity("postgres://u:q@host/db") {
		t.Error("a new password makes another system")
	}
	if one == identity("postgres://u:p@other/db") {
		t.Error("another host is the same system")
	}
}

func TestExpressionsUseLocalsAndFunctions(t *testing.T) {
	src := strings.Replace(sound, titleField, `
  field "urgency" {
    flow        = "ticket -> incident"
    incident    = "urgency"
    to_incident = <<-EOT
      ticket.priority <= local.top
        ? grade(ticket.priority)
        : '3'
    EOT
  }
`, 1) + "locals {\n top = 2\n}\nfunction \"grade\" {\n params = [\"p\"]\n result = \"p == 1 ? '1' : '2'\"\n}\n"
	c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
	s, _ := c.Sync("main")
	comp, more := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
	if comp == nil {
		t.Fatal(show(c, append(diags, more...)))
	}
	rule := comp.Rules.Fields[0]
	for priority, want := range map[int64]string{1: "1", 2: "2", 4: "3"} {
		env := reconcile.Env{}
		for i := range 2 {
			env.Values[i] = make([]record.Value, len(comp.Rules.Sides[i].Paths))
		}
		env.Values[0][rule.Reads[0][0]] = record.OfInt(priority)
		if got, err := rule.To[1](env); err != nil || got[0].Text() != want {
			t.Errorf("priority %d gives %v, %v", priority, got, err)
		}
	}
}

func TestPoliciesOfAField(t *testing.T) {
	for _, tt := range []struct {
		name, sync, field string
		want              reconcile.Policy
	}{
		{"nothing said", "", "", reconcile.Policy{}},
		{"the sync's default", `conflict = "incident"`, "", reconcile.Policy{Kind: reconcile.TakeSide, Side: record.Right}},
		{"the field's own", `conflict = "incident"`, `conflict = "union"`, reconcile.Policy{Kind: reconcile.Union}},
		{"a fallback", "", "conflict = \"newest\"\nfallback = \"ticket\"", reconcile.Policy{Kind: reconcile.Newest, Fallback: &reconcile.Policy{Kind: reconcile.TakeSide}}},
		{"a deadline", "", "conflict = \"ask\"\ndeadline = \"72h\"\nfallback = \"newest\"", reconcile.Policy{Kind: reconcile.Ask, Deadline: 72 * time.Hour, Fallback: &reconcile.Policy{Kind: reconcile.Newest}}},
		{"an expression", "", "resolve = \"'ticket'\"", reconcile.Policy{Kind: reconcile.Resolve}},
		{"an order", "", "conflict = \"lowest\"\norder = [1, 2]", reconcile.Policy{Kind: reconcile.Lowest}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.NewReplacer(`sync "main" {`, "sync \"main\" {\n"+tt.sync, `"short_description"`, "\"short_description\"\n"+tt.field).Replace(sound)
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
			s, _ := c.Sync("main")
			comp, more := c.Compile(s, [2]*connectors.Schema{})
			if comp == nil {
				t.Fatal(show(c, append(diags, more...)))
			}
			got := comp.Rules.Fields[0].Policy
			if (got.Resolve != nil) != (got.Kind == reconcile.Resolve) || (got.Rank != nil) != (got.Kind == reconcile.Lowest) {
				t.Errorf("policy is %+v", got)
			}
			got.Resolve, got.Rank = nil, nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLosslessFlowsAreTakenFromTheFlow(t *testing.T) {
	for _, tt := range []struct {
		body string
		to   [2]bool
	}{
		{"ticket = \"a\"\nincident = \"b\"", [2]bool{true, true}},
		{"flow = \"ticket <-> incident\"\nticket = \"a\"\nincident = \"b\"", [2]bool{true, true}},
		{"flow = \"ticket -> incident\"\nticket = \"a\"\nincident = \"b\"", [2]bool{false, true}},
		{"flow = \"incident <- ticket\"\nticket = \"a\"\nincident = \"b\"", [2]bool{false, true}},
		{"flow = \"ticket<-incident\"\nticket = \"a\"\nincident = \"b\"", [2]bool{true, false}},
		{"ticket = \"a\"\nincident = \"b\"\nvia = translation.state", [2]bool{true, true}},
		{"ticket = \"a\"\nincident = \"b\"\nvia = translation.state\nto_incident = \"ticket.a\"", [2]bool{true, true}},
		{"ticket = \"a\"\nincident = \"b\"\nto_ticket = \"incident.b\"\nto_incident = \"ticket.a\"", [2]bool{true, true}},
	} {
		t.Run(tt.body, func(t *testing.T) {
			src := strings.Replace(sound, titleField, field(tt.body)[1], 1)
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte(src)}, ".", options())
			s, _ := c.Sync("main")
			comp, more := c.Compile(s, [2]*connectors.Schema{})
			if comp == nil {
				t.Fatal(show(c, append(diags, more...)))
			}
			to := comp.Rules.Fields[0].To
			if got := [2]bool{to[0] != nil, to[1] != nil}; got != tt.to {
				t.Errorf("it leads to %v", got)
			}
		})
	}
}

func TestFormatIsCanonical(t *testing.T) {
	got := string(mapping.Format([]byte("a=1\nlonger =2\n")))
	if got != "a      = 1\nlonger = 2\n" {
		t.Errorf("got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sound))
	for _, src := range example(f) {
		f.Add(src)
	}
	seeds, err := filepath.Glob("testdata/broken/*.hcl")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no broken files", err)
	}
	shipped, err := filepath.Glob("../../mappings/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	seeds = append(seeds, shipped...)
	for _, name := range seeds {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src []byte) {
		// A file may run programs of its user's choice; those of the fuzzer shall not.
		if strings.Contains(string(src), "command") {
			t.Skip()
		}
		c, diags := mapping.Parse(map[string][]byte{"fuzz.hcl": src}, dir, options())
		show(c, diags)
		for _, d := range diags {
			if s := d.Subject; s != nil && s.Filename == "fuzz.hcl" && (s.Start.Byte > s.End.Byte || s.End.Byte > len(src)) {
				t.Errorf("%s: %s points outside the file: %v", d.Summary, d.Detail, s)
			}
		}
		for _, s := range c.Syncs {
			comp, more := c.Compile(s, [2]*connectors.Schema{tickets(), incidents()})
			if (comp == nil) != more.HasErrors() {
				t.Errorf("compiled: %t with %v", comp != nil, more)
			}
		}
		if !diags.HasErrors() {
			for _, test := range c.Tests {
				c.RunTest(test)
			}
		}
	})
}

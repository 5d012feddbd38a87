package rest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/rest"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
	"github.com/fieldsync/fieldsync/mappings"
)

const tool = `url = "http://127.0.0.1:1"
collection "things" {
  key = "item.id"
  list {
    path  = "/things"
    items = "body.things"
    page "offset" {}
  }
  read { path = "/things/{key}" }
  create {
    path = "/things"
    key  = "body.id"
  }
  field "state" { type = "text" }
  comments "notes" {
    id   = "item.id"
    text = "item.text"
    list {
      path  = "/things/{key}/notes"
      items = "body.notes"
    }
  }
}
`

// with puts an attachments block into the description; blocks of it without content are left out.
func with(open, upload, add string) [2]string {
	block := "  attachments \"files\" {\nid = \"item.id\"\nname = \"item.name\"\nlist {\npath = \"/things/{key}/files\"\nitems = \"body\"\n}\n"
	for _, b := range [][2]string{{"open", open}, {"upload", upload}, {"add", add}} {
		if b[1] != "" {
			block += b[0] + " {\n" + b[1] + "\n}\n"
		}
	}
	return [2]string{`  comments "notes" {`, block + "}\n" + `  comments "notes" {`}
}

func TestMistakesInADescriptionAreShownWhereTheyAre(t *testing.T) {
	for _, tt := range []struct {
		name         string
		change       [2]string
		summary, say string
		at           string
	}{
		{"an unknown name in an expression", [2]string{`"item.id"`, `"itm.id"`}, "Unknown name", "item", `itm`},
		{"an expression of a list over one item", [2]string{`"body.things"`, `"item.things"`}, "Unknown name", "body", `item`},
		{"a placeholder of another place", [2]string{`"/things/{key}"`, `"/things/{keys}/{id}"`}, "Unknown placeholder", "{key}, {keys}", `{id}`},
		{"a placeholder that does not exist", [2]string{`    path  = "/things"`, "    path  = \"/things\"\n query = { since = \"x{sinc}\" }"}, "Unknown placeholder", "{since}", `{sinc}`},
		{"a way of paging that does not exist", [2]string{`page "offset"`, `page "ofset"`}, "Unknown way of paging", `Did you mean "offset"?`, `page "ofset"`},
		{"a cursor that nothing gives", [2]string{`page "offset"`, `page "cursor"`}, "No cursor", "next =", `page "cursor"`},
		{"a type that does not exist", [2]string{`type = "text"`, `type = "txt"`}, "Unknown word", `Did you mean "text"?`, `"txt"`},
		{"a read without a key", [2]string{`"/things/{key}"`, `"/things"`}, "No key", "{key}", `read`},
		{"a create without a key", [2]string{`key  = "body.id"`, ``}, "No key of a new record", "item =", `create`},
		{"a list without items", [2]string{`items = "body.things"`, ``}, "Incomplete list", "items =", `list`},
		{"a collection without a key", [2]string{`key = "item.id"`, ``}, "Incomplete collection", "key =", `collection "things"`},
		{"no way to read one", [2]string{`read { path = "/things/{key}" }`, ``}, "No way to read one record", "read_many", `collection "things"`},
		{"a field that is read-only and written", [2]string{`type = "text"`, "read_only = true\n write = \"x\"\n"}, "Read-only and written", `"state"`, `field "state"`},
		{"a comment's edit without a place for its text", [2]string{`    id   = "item.id"`, "    edit { path = \"/notes/{id}\" }\n    id   = \"item.id\""}, "No place for the text", "text =", `edit`},
		{"files that cannot be opened", with("", "", ""), "No way to the content of a file", "open {", `attachments "files"`},
		{"a file that is opened in two ways", with("path = \"/f/{id}\"\nlink = \"item.url\"", "", ""), "Path or link", "one of them", `open`},
		{"a file that is added without its content", with("path = \"/f/{id}\"", "", "path = \"/f/{key}\""), "No place for the content", "{content}", `add`},
		{"an upload that nothing refers to", with("path = \"/f/{id}\"", "path = \"/up\"\nbody = \"raw\"\ntoken = \"body.t\"", ""), "Upload without add", "{token}", `upload`},
		{"an upload that gives no token", with("path = \"/f/{id}\"", "path = \"/up\"\nbody = \"raw\"", "path = \"/f/{key}\""), "No token", "token =", `upload`},
		{"a token where there is no upload", with("path = \"/f/{id}\"", "", "path = \"/f/{key}\"\nbody = \"raw\"\nquery = { t = \"{token}\" }"), "Unknown placeholder", "{name}", `{token}`},
		{"a body that does not exist", with("path = \"/f/{id}\"", "", "path = \"/f/{key}\"\nbody = \"multi\""), "Unknown word", "multipart", `"multi"`},
		{"a version that no record shows", [2]string{"  create {", "  update {\npath = \"/things/{key}\"\nset = { rev = \"{version}\" }\n}\n  create {"}, "No version", "version =", `collection "things"`},
		{"a placeholder deep in a constant", [2]string{"    key  = \"body.id\"", "    key  = \"body.id\"\n    set = { files = [{ name = \"{nam}\" }] }"}, "Unknown placeholder", "{nam}", `[{ name = "{nam}" }]`},
		{"a settle that is no time", [2]string{`key = "item.id"`, "key = \"item.id\"\n settle = \"soon\""}, "Not a length of time", `"30s"`, `"soon"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.Replace(tool, tt.change[0], tt.change[1], 1)
			if src == tool {
				t.Fatal("nothing was changed")
			}
			src = strings.ReplaceAll(src, `{ type = "text" }`, "{ type = \"text\" }")
			src = strings.Replace(src, "{ read_only", "{\nread_only", 1)
			_, _, diags := configured(t, src)
			var first *hcl.Diagnostic
			for _, d := range diags {
				if first == nil && d.Summary == tt.summary {
					first = d
				}
			}
			if first == nil {
				t.Fatalf("the diagnostics are %v", diags)
			}
			if got := src[first.Subject.Start.Byte:first.Subject.End.Byte]; got != tt.at || !strings.Contains(first.Detail, tt.say) {
				t.Errorf("%q underlines %q and says %q, want %q and %q", first.Summary, got, first.Detail, tt.at, tt.say)
			}
		})
	}
	if _, _, diags := configured(t, tool); diags.HasErrors() {
		t.Errorf("the sound description gives %v", diags)
	}
}

func TestMistakesAgainstADescriptionAreShownInTheConnection(t *testing.T) {
	for _, tt := range []struct{ name, src, say, at string }{
		{"a description that is not shipped", `system = "redmin"`, `did you mean "redmine"?`, `"redmin"`},
		{"a file that is not there", `system = "./none.hcl"`, "cannot be read", `"./none.hcl"`},
		{"a setting that is missing", `system = "rt"`, "queue", `"rt"`},
		{"a setting that there is not", "system = \"rt\"\nsettings = { queue = \"a\", qeue = \"b\" }", `Did you mean "queue"?`, `{ queue = "a", qeue = "b" }`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := "url = \"http://127.0.0.1:1\"\n" + tt.src + "\n"
			_, _, diags := configured(t, src)
			if !diags.HasErrors() {
				t.Fatal("it is accepted")
			}
			d := diags[0]
			if got := src[d.Subject.Start.Byte:d.Subject.End.Byte]; d.Subject.Filename != "connection.hcl" || got != tt.at || !strings.Contains(d.Detail, tt.say) {
				t.Errorf("it underlines %q and says %q", got, d.Detail)
			}
		})
	}
}

func TestAMistakeInADescriptionFileIsShownInThatFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tool.hcl")
	src := strings.Replace(strings.TrimPrefix(tool, "url = \"http://127.0.0.1:1\"\n"), "item.id", "item.id ==", 1)
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	f, diags := hclsyntax.ParseConfig([]byte("url = \"http://127.0.0.1:1\"\nsystem = \"./tool.hcl\"\n"), "connection.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	c := rest.New().(*rest.Config)
	if diags := gohcl.DecodeBody(f.Body, nil, c); diags.HasErrors() {
		t.Fatal(diags)
	}
	files, inputs, diags := c.Prepare(dir, nil, expression.Scope{}, nil)
	if !diags.HasErrors() || diags[0].Subject.Filename != file || files[file] == nil || len(inputs) != 1 || inputs[0] != file {
		t.Errorf("the diagnostics are %v, the files to show %v, those to watch %v", diags, files, inputs)
	}
}

func TestWhatTellsOneSystemFromAnother(t *testing.T) {
	id := func(src string) any {
		c, _, diags := configured(t, src)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		shown, _ := c.Veil()
		return shown
	}
	same := func(a, b any) bool {
		x, y := strings.Builder{}, strings.Builder{}
		for _, p := range []struct {
			to *strings.Builder
			v  any
		}{{&x, a}, {&y, b}} {
			p.to.WriteString(strings.TrimSpace(strings.Join(strings.Fields(fmt.Sprint(p.v)), " ")))
		}
		return x.String() == y.String()
	}
	base := tool + "auth \"header\" {\n name = \"K\"\n key = \"one\"\n}\n"
	if !same(id(base), id(strings.Replace(base, "one", "two", 1))) {
		t.Error("a new key makes it another system")
	}
	if !same(id(base), id(strings.Replace(base, "item.text", "item.body", 1))) {
		t.Error("an edited description makes it another system")
	}
	if same(id(base), id(strings.Replace(base, "127.0.0.1:1", "127.0.0.1:2", 1))) {
		t.Error("another address is the same system")
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for name, src := range map[string]string{
		"credentials in the url":        strings.Replace(tool, "http://127", "http://u:p@127", 1),
		"a key over the open network":   strings.Replace(tool, "http://127.0.0.1:1", "http://tracker.test", 1),
		"no address":                    strings.Replace(tool, "http://127.0.0.1:1", "tracker", 1),
		"a log-in that there is not":    tool + "auth \"kerberos\" {}",
		"a log-in without a key":        tool + "auth \"header\" { name = \"K\" }",
		"a log-in with too much":        tool + "auth \"bearer\" {\n token = \"t\"\n username = \"u\"\n}",
		"two log-ins":                   tool + "auth \"bearer\" { token = \"t\" }\nauth \"header\" {\n name = \"K\"\n key = \"k\"\n}",
		"oauth without an address":      tool + "auth \"oauth\" {\n client_id = \"a\"\n client_secret = \"b\"\n}",
		"a grant that there is not":     tool + "auth \"oauth\" {\n token_url = \"https://a.test/t\"\n grant = \"device\"\n}",
		"no log-in for a description":   "url = \"http://127.0.0.1:1\"\nsystem = \"redmine\"",
		"a log-in the tool has not got": "url = \"http://127.0.0.1:1\"\nsystem = \"redmine\"\nauth \"bearer\" { token = \"t\" }",
	} {
		c, _, diags := configured(t, src)
		if diags.HasErrors() {
			t.Errorf("%s: %v", name, diags)
			continue
		}
		if _, err := c.Open(connectors.Env{Name: "tracker"}); err == nil || connectors.Hint(err) == "" {
			t.Errorf("%s: Open gives %v, want an error with a hint", name, err)
		}
	}
}

func TestShippedDescriptionsAreLaidOut(t *testing.T) {
	for _, name := range rest.Shipped() {
		src, err := mappings.Systems.ReadFile("systems/" + name + ".hcl")
		if err != nil {
			t.Fatal(err)
		}
		if string(hclwrite.Format(src)) != string(src) {
			t.Errorf("%s is not laid out: run fieldsync fmt", name)
		}
	}
}

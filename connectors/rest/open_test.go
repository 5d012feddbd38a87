package rest_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/rest"
	"github.com/fieldsync/fieldsync/engine/mapping/expression"
)

// configured decodes the body of a connection block as the mapping does.
func configured(t testing.TB, src string) (*rest.Config, map[string]*hcl.File, hcl.Diagnostics) {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(src), "connection.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%v in\n%s", diags, src)
	}
	c := rest.New().(*rest.Config)
	if diags := gohcl.DecodeBody(f.Body, nil, c); diags.HasErrors() {
		return c, map[string]*hcl.File{"connection.hcl": f}, diags
	}
	files, _, diags := c.Prepare(t.TempDir(), nil, expression.Scope{}, func(e hcl.Expression) hcl.Expression { return expression.Within(e, f.Bytes) })
	if files == nil {
		files = map[string]*hcl.File{}
	}
	files["connection.hcl"] = f
	return c, files, diags
}

func connect(t testing.TB, src string) connectors.Connection {
	t.Helper()
	c, files, diags := configured(t, src)
	if diags.HasErrors() {
		var b bytes.Buffer
		if err := hcl.NewDiagnosticTextWriter(&b, files, 120, false).WriteDiagnostics(diags); err != nil {
			t.Fatal(err)
		}
		t.Fatal(b.String())
	}
	conn, err := c.Open(connectors.Env{Name: "tracker", Log: slog.New(slog.DiscardHandler), Now: time.Now, HTTP: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func collection(t testing.TB, src, name string) connectors.Collection {
	t.Helper()
	col, err := connect(t, src).Collection(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return col
}

// describes is the model's description, written for how it is switched.
func (m *model) describes(url string) string {
	page := map[string]string{
		"":       "",
		"offset": `page "offset" { total = "body.total" }`,
		"number": "page \"number\" {\nlimit = \"limit\"\n}",
		"cursor": `page "cursor" { next = "body.next" }`,
		"link":   "page \"link\" {\nlimit = \"limit\"\n}",
	}[m.paging]
	etag := ""
	if m.etag {
		etag = "etag = true"
	}
	version, set, from, fault := "", "", "", ""
	if m.revs {
		version, set, from = `version = "item.rev"`, `set = { rev = "{version}" }`, `query = { rev = "{version}" }`
	}
	if m.soft {
		fault = "when = \"body.ok == false\"\nmissing = \"body.code == 404\"\nstale = \"body.code == 409\"\n"
	}
	weight := ""
	if m.bare {
		weight = "update_only = true"
	}
	answer := `item = "body"`
	if m.silent {
		answer = ""
	}
	return fmt.Sprintf(`
url = %q
auth "header" {
  name = "X-Key"
  key  = %q
}
login {
  path = "/api/me"
  user = "body.name"
}
error {
  %smessage = "body.errors"
}
collection "items" {
  %s
  key      = "item.id"
  label    = "item.title"
  modified = "item.updated"
  list {
    path  = "/api/items"
    items = "body.items"
    %s
  }
  changes {
    query   = { updated_from = "{since}" }
    time    = "2006-01-02T15:04:05Z"
    overlap = "10s"
  }
  read {
    path = "/api/items/{key}"
    item = "body.item"
  }
  %s
  create {
    path = "/api/items"
    wrap = "item"
    key  = "body.item.id"
  }
  update {
    method = "PATCH"
    path   = "/api/items/{key}"
    wrap   = "item"
    %s
    %s
    %s
  }
  delete {
    path = "/api/items/{key}"
    %s
    %s
  }
  field "ref" {
    type = "text"
    find = { ref = "{value}" }
  }
  field "title" { type = "text" }
  field "weight" {
    type = "int"
    %s
  }
  comments "notes" {
    readers = "public"
    id      = "item.id"
    text    = "item.text"
    author  = "item.by"
    time    = "item.at"
    edited  = "item.edited"
    list {
      path  = "/api/items/{key}/notes"
      items = "body.notes"
    }
    add {
      path = "/api/items/{key}/notes"
      text = "text"
      %s
    }
    edit {
      path = "/api/items/{key}/notes/{id}"
      text = "text"
      %s
    }
  }
  %s
}
`, url, key, fault, version, page, m.batch(), etag, set, strings.Replace(answer, `"body"`, `"body.item"`, 1), etag, from, weight, answer, answer, m.drawers())
}

// batch is how records are read by the list, where the model is asked so.
func (m *model) batch() string {
	if m.silent {
		return "read_many {\npath = \"/api/items\"\nquery = { ids = \"{keys}\" }\nitems = \"body.items\"\n}"
	}
	return ""
}

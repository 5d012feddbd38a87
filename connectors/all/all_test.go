package all_test

import (
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/all"
)

func TestEachConstructorMakesSettingsOfItsOwn(t *testing.T) {
	for name, construct := range all.Registry() {
		t.Run(name, func(t *testing.T) {
			a, b := construct(), construct()
			if reflect.ValueOf(a).Kind() != reflect.Pointer || reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() {
				t.Errorf("two calls give %T %p and %p: settings of two connections would mix", a, a, b)
			}
		})
	}
}

func TestSettingsDecodeAndOpenWithoutContact(t *testing.T) {
	for name, body := range map[string]string{
		"file":       `path = "tickets.csv"`,
		"sql":        "dsn = \"helpdesk.db\"\ncollection \"tickets\" {\n key = [\"id\"]\n modified = \"updated_at\"\n}",
		"ilert":      "auth \"bearer\" {\n token = \"t\"\n}\ncollection \"core\" {\n sources = [310455, \"Zabbix core\"]\n}",
		"servicenow": "url = \"https://acme.service-now.com\"\nauth \"basic\" {\n username = \"u\"\n password = \"p\"\n}",
	} {
		t.Run(name, func(t *testing.T) {
			f, diags := hclsyntax.ParseConfig([]byte(body), "x.hcl", hcl.InitialPos)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			settings := all.Registry()[name]()
			if diags := gohcl.DecodeBody(f.Body, nil, settings); diags.HasErrors() {
				t.Fatal(diags)
			}
			conn, err := settings.Open(connectors.Env{Name: "x", Log: slog.New(slog.DiscardHandler), Now: time.Now, Dir: t.TempDir(), HTTP: http.DefaultClient})
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAMisspelledSettingIsRefused(t *testing.T) {
	for name, construct := range all.Registry() {
		f, diags := hclsyntax.ParseConfig([]byte(`pathh = "x"`), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		diags = gohcl.DecodeBody(f.Body, nil, construct())
		if !slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return strings.Contains(d.Detail, `"pathh"`) }) {
			t.Errorf("%s: a setting that does not exist gives %v", name, diags)
		}
	}
}

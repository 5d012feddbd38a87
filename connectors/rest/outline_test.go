package rest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors/rest"
)

func TestADescriptionSaysWhatItAsksFor(t *testing.T) {
	own := filepath.Join(t.TempDir(), "own.hcl")
	if err := os.WriteFile(own, []byte("setting \"site\" { default = \"x\" }\ncollection \"things\" {\n key = \"item.id\"\n list {\n path = \"/${setting.site}\"\n items = \"body\"\n }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type asks struct{ settings, auth, collections string }
	want := map[string]asks{
		"freshservice": {"requester?", "basic key", "tickets"},
		"github":       {"repository", "bearer token", "issues"},
		"gitlab":       {"project", "header key, bearer token", "issues"},
		"jira":         {"project issue_type? time_zone?", "basic username password, bearer token", "issues"},
		"redmine":      {"project?", "header key, basic username password", "issues"},
		"rt":           {"queue", "header key", "tickets"},
		"zammad":       {"group? customer?", "header key, bearer token", "tickets"},
		"zendesk":      {"", "basic username password, bearer token", "tickets"},
		own:            {"site?", "", "things"},
	}
	got := map[string]asks{}
	for _, system := range append(rest.Shipped(), own) {
		o, err := rest.Outlined(system, "/elsewhere")
		if err != nil {
			t.Fatal(err)
		}
		var settings, auth []string
		for _, s := range o.Settings {
			if s.Default != nil {
				s.Name += "?"
			}
			settings = append(settings, s.Name)
		}
		for _, a := range o.Auth {
			auth = append(auth, a.Kind+" "+strings.Join(a.Needs(), " "))
		}
		got[system] = asks{strings.Join(settings, " "), strings.Join(auth, ", "), strings.Join(o.Collections, " ")}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(asks{})); diff != "" {
		t.Errorf("what descriptions ask for (-want +got):\n%s", diff)
	}
	if _, err := rest.Outlined("redmin", "."); err == nil || !strings.Contains(err.Error(), `did you mean "redmine"`) {
		t.Errorf("a name that is nearly right gives %v", err)
	}
}

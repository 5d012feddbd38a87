package mapping_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

const hooked = `
connection "sql" "desk" {
  driver = "sqlite"
  dsn    = "x"
  collection "tickets" {
    table = "tickets"
    key   = "id"
  }
  webhook "tickets" {
    secret = env("HOOK")
  }
  webhook "issues" {
    secret = "0123456789abcdef"
    keys   = "header['X-GitHub-Event'] == 'issues' ? [body.issue.number] : []"
    signature {
      header = "X-Hub-Signature-256"
      prefix = "sha256="
    }
  }
  webhook "alerts" {
    secret = "0123456789abcdef"
    keys   = "map(body.list, #.id)"
    signature {
      header    = "X-Secret"
      algorithm = "plain"
    }
  }
}
`

func TestWebhooksNameRecords(t *testing.T) {
	t.Parallel()
	o := options()
	o.Getenv = func(name string) (string, bool) { return "hush-hush-hush", name == "HOOK" }
	cfg, diags := mapping.Parse(map[string][]byte{"w.hcl": []byte(hooked)}, t.TempDir(), o)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	c := cfg.Connections[0]
	if !slices.Contains(c.Secrets, "hush-hush-hush") {
		t.Error("the secret of a webhook is not among what is hidden")
	}
	hook := map[string]*mapping.Webhook{}
	for _, w := range c.Webhooks {
		hook[w.Collection] = w
	}
	if s := hook["tickets"].Signature; s.Header != "X-Fieldsync-Signature" || s.Secret != "hush-hush-hush" || s.Signed != "{timestamp}.{body}" {
		t.Errorf("the signature where nothing is said is %q of %q", s.Header, s.Signed)
	}
	if s := hook["issues"].Signature; s.Algorithm != "sha256" || s.Signed != "{body}" || s.Timestamp != "" {
		t.Errorf("a signature without a timestamp is %+v", s.Signed)
	}
	issues := http.Header{"X-Github-Event": {"issues"}}
	for _, tt := range []struct {
		name, hook, body string
		header           http.Header
		want             string // "error", or the keys
	}{
		{"one key", "tickets", `{"key": "T-1"}`, nil, "T-1"},
		{"a key that is a number", "tickets", `{"key": 9007199254740993}`, nil, "9007199254740993"},
		{"several keys", "tickets", `{"keys": ["T-1", 2, "", null]}`, nil, "T-1 2"},
		{"no keys at all", "tickets", `{"keys": []}`, nil, ""},
		{"no member of that name", "tickets", `{"id": "T-1"}`, nil, "error"},
		{"a list", "tickets", `["T-1"]`, nil, "error"},
		{"a key that is an object", "tickets", `{"key": {"id": 1}}`, nil, "error"},
		{"a key that is true", "tickets", `{"key": true}`, nil, "error"},
		{"lists in lists", "tickets", `{"keys": [["T-1"]]}`, nil, "error"},
		{"an expression", "issues", `{"issue": {"number": 7}}`, issues, "7"},
		{"another event", "issues", `{"issue": {"number": 7}}`, http.Header{"X-Github-Event": {"push"}}, ""},
		{"no event", "issues", `{"issue": {"number": 7}}`, nil, ""},
		{"a body of another shape", "issues", `{"issue": 7}`, issues, "error"},
		{"a list of objects", "alerts", `{"list": [{"id": "a"}, {"id": "b"}]}`, nil, "a b"},
		{"something else than a list", "alerts", `{"list": 1}`, nil, "error"},
	} {
		d := json.NewDecoder(strings.NewReader(tt.body))
		d.UseNumber()
		var body any
		if err := d.Decode(&body); err != nil {
			t.Fatal(err)
		}
		got := "error"
		if keys, err := hook[tt.hook].Keys(body, tt.header); err == nil {
			got = strings.Join(keys, " ")
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAWebhookWithoutItsSecretTakesNothing(t *testing.T) {
	t.Parallel()
	cfg, diags := mapping.Parse(map[string][]byte{"w.hcl": []byte(hooked)}, t.TempDir(), options())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	c := cfg.Connections[0]
	if w := c.Webhooks[0]; !slices.Equal(w.Missing, []string{"HOOK"}) || len(c.Missing) > 0 {
		t.Errorf("the webhook misses %q and its connection %q", w.Missing, c.Missing)
	}
}

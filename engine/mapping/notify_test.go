package mapping_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestNotify(t *testing.T) {
	t.Parallel()
	src := `
notify "slack" "ops" {
  url  = env("CHAT")
  on   = ["refused", "stopped"]
  late = "30m"
}
notify "email" "night" {
  server   = "smtp.test:587"
  from     = "fieldsync@acme.test"
  to       = ["ops@acme.test", "Night <night@acme.test>"]
  username = "u"
  password = env("MAIL")
}
notify "webhook" "pager" {
  url = env("NOWHERE")
}
`
	env := map[string]string{"CHAT": "https://chat.test/hush/chat", "MAIL": "hush-mail"}
	cfg, diags := mapping.Parse(map[string][]byte{"n.hcl": []byte(src)}, t.TempDir(), mapping.Options{Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if len(diags) != 1 || diags[0].Subject.Start.Line != 14 {
		t.Errorf("diagnostics %v, want one warning: the pager's address is not set", diags)
	}
	ops, night, pager := cfg.Notify[0], cfg.Notify[1], cfg.Notify[2]
	if ops.Late != 30*time.Minute || ops.Stuck != 24*time.Hour || !slices.Equal(ops.On, []string{"refused", "stopped"}) {
		t.Errorf("ops = %+v", ops)
	}
	if len(night.On) != 4 || night.Late != time.Hour || len(night.Settings.To) != 2 {
		t.Errorf("night = %+v", night)
	}
	if !slices.Equal(pager.Missing, []string{"NOWHERE"}) {
		t.Errorf("pager misses %q", pager.Missing)
	}
	for _, secret := range env {
		if !slices.Contains(cfg.Secrets, secret) {
			t.Errorf("%q is not among what is hidden: %q", secret, cfg.Secrets)
		}
	}
}

package service

import (
	"testing"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestAMappingFileIsShownWithoutCredentials(t *testing.T) {
	t.Parallel()
	hide := hider(&mapping.Config{Connections: []*mapping.Connection{{Secrets: []string{"sesame"}}}})
	for _, tt := range []struct{ name, text, want string }{
		{"a password, however short", `password = "abc"`, `password = "(sensitive)"`},
		{"a password with quotes in it", `password = "a\"b"`, `password = "(sensitive)"`},
		{"one whose quote is missing, in a file that is broken", `password = "abc` + "\n}", `password = "(sensitive)"` + "\n}"},
		{"a token", `  bridge { token = "t-1" }`, `  bridge { token = "(sensitive)" }`},
		{"a client's secret", `client_secret="x"`, `client_secret="(sensitive)"`},
		{"what the mapping knows to be one, under any name", `key = "sesame"`, `key = "(sensitive)"`},
		{"a password in an address", `dsn = "postgres://desk:abc@db:5432/desk"`, `dsn = "postgres://desk:(sensitive)@db:5432/desk"`},
		{"a password among settings", `dsn = "host=db password=abc user=desk"`, `dsn = "host=db password=(sensitive) user=desk"`},
		{"a password as MySQL has it", `dsn = "desk:abc@tcp(db:3306)/desk"`, `dsn = "desk:(sensitive)@tcp(db:3306)/desk"`},
		{"where a credential comes from is none", `password = env("SNOW_PASSWORD")`, `password = env("SNOW_PASSWORD")`},
		{"neither is a key of records", `key = "id"`, `key = "id"`},
		{"nor an address", `url = "https://acme.service-now.com"`, `url = "https://acme.service-now.com"`},
		{"nor a rule about a field of that name", `field "password_reset" { ticket = "reset" }`, `field "password_reset" { ticket = "reset" }`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := hide(tt.text); got != tt.want {
				t.Errorf("%s becomes\n%s, want\n%s", tt.text, got, tt.want)
			}
		})
	}
}

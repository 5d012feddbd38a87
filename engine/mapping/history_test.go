package mapping_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestHowLongHistoryIsKept(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name, written string
		want          time.Duration
		err           string
	}{
		{"more than a year where nothing is said", "", 400 * day, ""},
		{"days", `history = "30d"`, 30 * day, ""},
		{"hours", `history = "72h"`, 3 * day, ""},
		{"less than a day", `history = "23h"`, 0, `"23h" is not a length of time of at least a day`},
		{"no days", `history = "0d"`, 0, `write "400d" or "72h"`},
		{"days below nothing", `history = "-3d"`, 0, "at least a day"},
		{"part of a day", `history = "1.5d"`, 0, "at least a day"},
		{"more than there is time", `history = "99999999999999d"`, 0, "at least a day"},
		{"a word", `history = "forever"`, 0, "at least a day"},
		{"a number", `history = 400`, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, diags := mapping.Parse(map[string][]byte{"a.hcl": []byte("fieldsync {\n" + tt.written + "\n}\n")}, ".", options())
			if tt.want == 0 {
				if !diags.HasErrors() || !strings.Contains(show(c, diags), tt.err) {
					t.Errorf("diagnostics: %s", show(c, diags))
				}
				return
			}
			if diags.HasErrors() || c.Settings.History != tt.want {
				t.Errorf("history is %s, want %s\n%s", c.Settings.History, tt.want, show(c, diags))
			}
		})
	}
}

package connectors_test

import (
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
)

func TestNearest(t *testing.T) {
	names := []string{"short_description", "state", "status", "id"}
	for _, c := range []struct{ name, want string }{
		{"stat", "state"},                          // one letter missing
		{"Status", "status"},                       // case does not count
		{"shortdescription", "short_description"},  // longer names may differ more
		{"short_descriptoin", "short_description"}, // two letters swapped
		{"ix", "id"},
		{"urgency", ""}, // nothing is near
		{"xy", ""},      // neither letter is right
		{"", ""},
	} {
		if got := connectors.Nearest(c.name, names); got != c.want {
			t.Errorf("Nearest(%q) is %q, want %q", c.name, got, c.want)
		}
	}
	if got := connectors.Nearest("x", nil); got != "" {
		t.Errorf("Nearest of no names is %q", got)
	}
}

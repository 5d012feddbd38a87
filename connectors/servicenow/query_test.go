package servicenow_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/servicenow"
)

func TestConditionsReachEveryAlternativeOfAQuery(t *testing.T) {
	for _, c := range []struct {
		name, native, want string
		fields             []string
	}{
		{"no query", "", "sys_id>5^ORDERBYsys_id", nil},
		{"one condition", "active=true", "active=true^sys_id>5^ORDERBYsys_id", []string{"active"}},
		{"alternatives of one condition", "a=1^b=2^ORb=3", "a=1^b=2^ORb=3^sys_id>5^ORDERBYsys_id", []string{"a", "b"}},
		{"alternatives of everything", "a=1^NQb=2", "a=1^sys_id>5^NQb=2^sys_id>5^ORDERBYsys_id", []string{"a", "b"}},
		{"order is the scan's own", "active=true^ORDERBYnumber^ORDERBYDESCsys_created_on", "active=true^sys_id>5^ORDERBYsys_id", []string{"active"}},
		{"order in the first alternative", "a=1^ORDERBYa^NQb=2^EQ", "a=1^sys_id>5^NQb=2^sys_id>5^ORDERBYsys_id", []string{"a", "b"}},
		{"only order", "ORDERBYnumber", "sys_id>5^ORDERBYsys_id", nil},
		{"groups and end markers", "active=true^GROUPBYstate^EQ", "active=true^sys_id>5^ORDERBYsys_id", []string{"active"}},
		{"operators of words", "stateNOT IN6,7^assigned_toISEMPTY", "stateNOT IN6,7^assigned_toISEMPTY^sys_id>5^ORDERBYsys_id", []string{"assigned_to", "state"}},
		{"behind a reference", "caller_id.department.nameSTARTSWITHIT", "caller_id.department.nameSTARTSWITHIT^sys_id>5^ORDERBYsys_id", []string{"caller_id.department.name"}},
		{"a related list passes", "RLQUERYincident.problem_id,>=1^ENDRLQUERY", "RLQUERYincident.problem_id,>=1^ENDRLQUERY^sys_id>5^ORDERBYsys_id", nil},
		{"spaces around it all", "  active=true\n", "active=true^sys_id>5^ORDERBYsys_id", []string{"active"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, fields, err := servicenow.Filter(c.native, "sys_id>5")
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("sent %s, want %s", got, c.want)
			}
			if d := cmp.Diff(c.fields, fields); d != "" {
				t.Errorf("fields (-want +got):\n%s", d)
			}
		})
	}
}

func TestQueriesAnInstanceWouldWidenAreRefused(t *testing.T) {
	for name, native := range map[string]string{
		"spaces around the operator":  "state = 1",
		"two equals signs":            "state==1",
		"prose":                       "all open incidents",
		"no operator":                 "active",
		"nothing between carets":      "active=true^^state=1",
		"a caret at the end":          "active=true^",
		"an alternative of nothing":   "ORactive=true",
		"an empty part":               "active=true^NQORDERBYnumber",
		"an empty part at the start":  "ORDERBYnumber^NQactive=true",
		"a line break":                "active=true^\nstate=1",
		"a label":                     "Short description=x",
		"a dot too many":              "caller_id..name=x",
		"a dot and then the operator": "caller_id.=x",
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, err := servicenow.Filter(native); !errors.Is(err, connectors.ErrConfig) || connectors.Hint(err) == "" {
				t.Errorf("%q gives %q, %v with hint %q; want ErrConfig with a hint", native, got, err, connectors.Hint(err))
			}
		})
	}
}

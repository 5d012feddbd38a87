package mapping_test

import (
	"strings"
	"testing"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/engine/mapping"
)

func TestProposedCommentsNeverTakeWhatIsForStaffToCustomers(t *testing.T) {
	th := func(texts ...string) []connectors.Thread {
		var out []connectors.Thread
		for _, s := range texts {
			path, rest, _ := strings.Cut(s, ":")
			t := connectors.Thread{Path: path, ReadOnly: strings.HasSuffix(rest, "!")}
			switch strings.TrimSuffix(rest, "!") {
			case "staff":
				t.Readers = connectors.Staff
			case "public":
				t.Readers = connectors.Public
			}
			out = append(out, t)
		}
		return out
	}
	for _, tt := range []struct {
		name        string
		left, right []connectors.Thread
		want        string // "LEFT FLOW RIGHT", with ? where it is not sure; "": nothing
	}{
		{"both tell staff from customers", th("comments:public", "notes:staff"), th("comments:public", "work_notes:staff"), "notes <-> work_notes"},
		{"both for customers", th("comments:public"), th("comments:public"), "comments <-> comments"},
		{"one is known to be for staff", th("comments:"), th("comments:public", "work_notes:staff"), "comments -> work_notes"},
		{"for customers here, for staff there", th("comments:public"), th("notes:staff"), "comments -> notes"},
		{"for staff here, for customers there", th("notes:staff"), th("comments:public"), "notes <- comments"},
		{"for staff here, and there nobody says", th("notes:staff"), th("comments:"), "notes <- comments"},
		{"nobody says who reads either", th("notes:"), th("comments:"), "notes ->? comments"},
		{"nobody says, and the right can only be read", th("notes:"), th("log:!"), "notes <-? log"},
		{"the one for staff can only be read", th("comments:public"), th("log:staff!"), ""},
		{"neither takes any", th("log:!"), th("log:!"), ""},
		{"one side keeps none", th("comments:public"), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, ok := mapping.ProposeThreads([2]string{"ticket", "incident"}, [2][]connectors.Thread{tt.left, tt.right})
			got := ""
			if ok {
				flow := map[[2]bool]string{{true, true}: "<->", {false, true}: "->", {true, false}: "<-"}[c.To]
				if !c.Sure {
					flow += "?"
				}
				got = c.Paths[0] + " " + flow + " " + c.Paths[1]
			}
			if got != tt.want {
				t.Errorf("%q (%s), want %q", got, c.Why, tt.want)
			}
		})
	}
}

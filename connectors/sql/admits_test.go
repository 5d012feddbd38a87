package sql_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fieldsync/fieldsync/connectors"
	"github.com/fieldsync/fieldsync/connectors/sql"
	"github.com/fieldsync/fieldsync/engine/record"
)

func TestAConditionAsksForWhatEveryRowInItShows(t *testing.T) {
	noc := record.Fields{"queue": record.OfText("noc")}
	none := connectors.Terms{}
	for _, c := range []struct {
		name, driver, native string
		want                 connectors.Terms
	}{
		{"one text", "sqlite", "queue = 'noc'", connectors.Terms{Values: noc, Whole: true}},
		{"without blanks", "sqlite", "queue='noc'", connectors.Terms{Values: noc, Whole: true}},
		{"a quote in it", "sqlite", "queue = 'd''oh'", connectors.Terms{Values: record.Fields{"queue": record.OfText("d'oh")}, Whole: true}},
		{"a number, and on several lines", "postgres", "queue = 'noc'\n  AND level = -2", connectors.Terms{Values: record.Fields{"queue": record.OfText("noc"), "level": record.OfInt(-2)}, Whole: true}},
		{"a name in quotes", "postgres", `"Queue" = 'noc'`, connectors.Terms{Values: record.Fields{"Queue": record.OfText("noc")}, Whole: true}},
		{"a text in double quotes", "mysql", `"queue" = 'noc'`, none},
		{"other comparisons beside it", "sqlite", "deleted IS NULL and queue = 'noc' AND level < 3", connectors.Terms{Values: noc}},
		{"and inside a text", "sqlite", "queue = 'noc and nowhere'", connectors.Terms{Values: record.Fields{"queue": record.OfText("noc and nowhere")}, Whole: true}},
		{"alternatives", "sqlite", "queue = 'noc' OR queue = 'nms'", none},
		{"an alternative to two", "sqlite", "a = 1 AND queue = 'noc' OR b = 2", none},
		{"inside a case", "sqlite", "CASE WHEN a = 1 AND queue = 'noc' AND b = 2 THEN 1 ELSE 0 END", none},
		{"between", "sqlite", "level BETWEEN 1 AND 2 AND queue = 'noc'", none},
		{"calculated", "sqlite", "level = 1 + 1", none},
		{"a fraction", "sqlite", "level = 1.5", none},
		{"joined texts", "sqlite", "queue = 'n' || 'oc'", none},
		{"two columns", "sqlite", "queue = team", none},
		{"a comment", "sqlite", "queue = 'noc' -- for now", none},
		{"a backslash", "mysql", `queue = 'n\'oc'`, none},
		{"twice, with two values", "sqlite", "queue = 'noc' AND queue = 'nms'", none},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, (&sql.Config{Driver: c.driver}).Admits("tickets", c.native), cmp.Comparer(func(a, b record.Value) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
}

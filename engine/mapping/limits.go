package mapping

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// defaultLimits stop a run that got something badly wrong, and let every ordinary one pass, the first contact of a
// help desk included. Of the two for deletes the larger counts: 5 % of a few links would be none at all.
var defaultLimits = Limits{
	Creates: Limit{Number: 5000},
	Updates: Limit{Number: 10000},
	Deletes: Limit{Number: 10, Percent: 5},
}

var limitsSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "creates"}, {Name: "updates"}, {Name: "deletes"}}}

func (l *loader) limits(s *Sync, b *hcl.Block) {
	content, diags := b.Body.Content(limitsSchema)
	l.add(diags...)
	if content == nil {
		return
	}
	for name, lim := range map[string]*Limit{"creates": &s.Limits.Creates, "updates": &s.Limits.Updates, "deletes": &s.Limits.Deletes} {
		if a := content.Attributes[name]; a != nil {
			if w, ok := l.text(a.Expr); ok {
				if *lim, ok = limit(w); !ok {
					l.fail(a.Expr.Range(), "Not a limit", "%q is not a limit. Write a number of records (200), a share of the links (\"1%%\"), or \"none\".", w)
				}
			}
		}
	}
}

func limit(s string) (Limit, bool) {
	if s == "none" {
		return Limit{Number: -1}, true
	}
	if p, ok := strings.CutSuffix(s, "%"); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		return Limit{Number: -1, Percent: f}, err == nil && f > 0 && f <= 100
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return Limit{Number: n}, err == nil && n >= 0
}

package mapping

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// attachments understands the block and says that nothing comes of it yet.
func (l *loader) attachments(s *Sync, b *hcl.Block) {
	names := s.names()
	attrs := l.only(b, names[0], names[1], "flow", "max_size", "types")
	if a := attrs["flow"]; a != nil {
		l.flow(s, a.Expr)
	}
	if a := attrs["max_size"]; a != nil {
		if w, ok := l.text(a.Expr); ok && !isSize(w) {
			l.fail(a.Expr.Range(), "Not a size", "%q is not a size; write \"500KiB\", \"10MiB\" or \"1GiB\".", w)
		}
	}
	if a := attrs["types"]; a != nil {
		l.names(a.Expr)
	}
	l.add(warn(b.DefRange, "Attachments are not carried", "This version understands the attachments block and carries no attachments: nothing will be written because of it."))
}

func isSize(s string) bool {
	number := strings.TrimRight(s, "BKMGTi")
	units := []string{"", "B", "KiB", "MiB", "GiB", "KB", "MB", "GB"}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	return err == nil && n > 0 && slices.Contains(units, s[len(number):])
}

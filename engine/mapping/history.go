package mapping

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

const day = 24 * time.Hour

// defaultHistory outlasts a year and the holidays after it.
const defaultHistory = 400 * day

// days evaluates e as a length of time of at least a day, such as "400d". Days are what people count in here;
// hours will do too.
func (l *loader) days(e hcl.Expression) (time.Duration, bool) {
	s, ok := l.text(e)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if number, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		if n, err = strconv.ParseInt(number, 10, 64); n > 0 && n < int64(math.MaxInt64/day) {
			d = time.Duration(n) * day
		}
	}
	if err != nil || d < day {
		l.fail(e.Range(), "Not a length of time", "%q is not a length of time of at least a day; write \"400d\" or \"72h\".", s)
		return 0, false
	}
	return d, true
}

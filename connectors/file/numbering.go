package file

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

// A numbering finds the next key of a file: after T-0041 comes T-0042.
type numbering struct {
	numeric bool // the newest key is a JSON number
	prefix  string
	digits  int // 0: the newest key has no number at its end
	any     bool
	highest map[string]int64
}

// manyPrefixes is when keys are no numbering but random text that happens to end in digits.
const manyPrefixes = 100

func (n *numbering) seen(key string) {
	if n.highest == nil {
		n.highest = map[string]int64{}
	}
	n.any = true
	prefix := strings.TrimRight(key, "0123456789")
	n.digits = len(key) - len(prefix)
	number, err := strconv.ParseInt(key[len(prefix):], 10, 64)
	if err != nil || n.digits > 18 {
		n.digits = 0
		return
	}
	if old, ok := n.highest[prefix]; ok {
		if number > old {
			n.highest[prefix] = number
		}
	} else if len(n.highest) <= manyPrefixes {
		n.highest[strings.Clone(prefix)] = number
	}
	n.prefix = strings.Clone(prefix)
}

func (n *numbering) next() string {
	if !n.any {
		n.any, n.digits, n.highest = true, 1, map[string]int64{"": 0}
	}
	if n.digits == 0 || len(n.highest) > manyPrefixes {
		return rand.Text()
	}
	n.highest[n.prefix]++
	return fmt.Sprintf("%s%0*d", n.prefix, n.digits, n.highest[n.prefix])
}

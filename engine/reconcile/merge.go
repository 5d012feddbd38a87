package reconcile

import (
	"slices"
	"strings"
)

// mergeLines merges what a and b made of base, line by line. It is clean when no line that one of them
// changed touches a line that the other changed to something else; then each edit is in the result. The
// result does not depend on which of the two comes first.
func mergeLines(base, a, b string) (string, bool) {
	o, la, lb := strings.Split(base, "\n"), strings.Split(a, "\n"), strings.Split(b, "\n")
	ea, eb := diffLines(o, la), diffLines(o, lb)
	var out []string
	done := 0 // lines of base that are in out or replaced
	for len(ea) > 0 || len(eb) > 0 {
		lo, hi, na, nb := group(ea, eb)
		out = append(out, o[done:lo]...)
		ta, tb := rewritten(o, ea[:na], lo, hi), rewritten(o, eb[:nb], lo, hi)
		switch {
		case nb == 0 || na > 0 && slices.Equal(ta, tb):
			out = append(out, ta...)
		case na == 0:
			out = append(out, tb...)
		default:
			return "", false
		}
		done, ea, eb = hi, ea[na:], eb[nb:]
	}
	out = append(out, o[done:]...)
	return strings.Join(out, "\n"), true
}

// An edit replaces lines lo to hi of the base.
type edit struct {
	lo, hi int
	lines  []string
}

// group returns the first stretch of the base that edits of one or both sides touch without a gap, and how
// many edits of each side are in it.
func group(a, b []edit) (lo, hi, na, nb int) {
	if len(b) == 0 || len(a) > 0 && a[0].lo <= b[0].lo {
		lo, hi, na = a[0].lo, a[0].hi, 1
	} else {
		lo, hi, nb = b[0].lo, b[0].hi, 1
	}
	for {
		switch {
		case na < len(a) && a[na].lo <= hi:
			hi = max(hi, a[na].hi)
			na++
		case nb < len(b) && b[nb].lo <= hi:
			hi = max(hi, b[nb].hi)
			nb++
		default:
			return lo, hi, na, nb
		}
	}
}

// rewritten is the base from lo to hi with edits carried out.
func rewritten(base []string, edits []edit, lo, hi int) []string {
	var out []string
	for _, e := range edits {
		out = append(out, base[lo:e.lo]...)
		out = append(out, e.lines...)
		lo = e.hi
	}
	return append(out, base[lo:hi]...)
}

// maxDiff bounds the number of differing lines that are looked for, and with it the memory (its square). Two
// texts further apart count as replaced as a whole, which is never a wrong merge, at worst a conflict.
const maxDiff = 1500

// diffLines returns the shortest edits that turn a into b, in order, with at least one kept line between
// any two of them.
func diffLines(a, b []string) []edit {
	pre, end := 0, min(len(a), len(b))
	for pre < end && a[pre] == b[pre] {
		pre++
	}
	suf := 0
	for suf < end-pre && a[len(a)-1-suf] == b[len(b)-1-suf] {
		suf++
	}
	x, y := a[pre:len(a)-suf], b[pre:len(b)-suf]
	var edits []edit
	i, j := 0, 0
	for _, p := range append(common(x, y), [2]int{len(x), len(y)}) {
		if i < p[0] || j < p[1] {
			edits = append(edits, edit{lo: pre + i, hi: pre + p[0], lines: y[j:p[1]]})
		}
		i, j = p[0]+1, p[1]+1
	}
	return edits
}

// common finds a longest common subsequence of x and y by Myers' greedy search: the index pairs of the lines
// that are kept, in order. It gives up, with none, beyond maxDiff differing lines.
func common(x, y []string) [][2]int {
	limit := min(len(x)+len(y), maxDiff)
	reach := make([]int, 2*limit+3) // by diagonal: how far into x the search has come
	mid := limit + 1
	var trace [][]int // reach before each step, diagonals -d-1 to d+1
	for d := 0; d <= limit; d++ {
		trace = append(trace, slices.Clone(reach[mid-d-1:mid+d+2]))
		for k := -d; k <= d; k += 2 {
			i := reach[mid+k-1] + 1
			if down(reach, mid, d, k) {
				i = reach[mid+k+1]
			}
			for i < len(x) && i-k < len(y) && x[i] == y[i-k] {
				i++
			}
			reach[mid+k] = i
			if k == len(x)-len(y) && i >= len(x) {
				return retrace(trace, len(x), len(y))
			}
		}
	}
	return nil
}

// down reports whether step d came to diagonal k from the one above it, by inserting a line.
func down(reach []int, mid, d, k int) bool {
	return k == -d || k != d && reach[mid+k-1] < reach[mid+k+1]
}

// retrace walks the search back from its end and collects the kept lines.
func retrace(trace [][]int, i, j int) [][2]int {
	var pairs [][2]int
	for d := len(trace) - 1; d >= 0; d-- {
		fromI, fromJ := 0, 0
		if d > 0 {
			k, mid := i-j, d+1
			prev := k - 1
			if down(trace[d], mid, d, k) {
				prev = k + 1
			}
			fromI = trace[d][mid+prev]
			fromJ = fromI - prev
		}
		for i > fromI && j > fromJ {
			i, j = i-1, j-1
			pairs = append(pairs, [2]int{i, j})
		}
		i, j = fromI, fromJ
	}
	slices.Reverse(pairs)
	return pairs
}

package expression

import (
	"fmt"
	"slices"
	"strings"
)

// nearest returns the candidate that name was most likely meant to be, or "".
func nearest(name string, candidates []string) string {
	best, least := "", 1+max(1, len(name)/3)
	slices.Sort(candidates)
	for _, c := range candidates {
		if strings.EqualFold(c, name) {
			return c
		}
		d := distance(name, c)
		if len(name) >= 3 && strings.HasPrefix(strings.ToLower(c), strings.ToLower(name)) {
			d = min(d, 1) // cut short rather than mistyped
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// meant is the sentence that suggests the nearest name, with a space before it; "" when nothing is near.
func meant(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" {
		return " Did you mean " + n + "?"
	}
	return ""
}

// distance is the number of characters to insert, remove, replace or swap with a neighbour to make a into b.
func distance(a, b string) int {
	s, t := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	before, row, next := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		next[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(t)]
}

// list joins names for a message, cut after a few.
func list(names []string) string {
	const most = 8
	slices.Sort(names)
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

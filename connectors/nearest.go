package connectors

import "strings"

// Nearest returns the one of names that name was probably meant to be, or "" when none is near. Connectors use
// it to say which collection or path a mapping may have meant.
func Nearest(name string, names []string) string {
	best, least := "", max(1, (len(name)+1)/3)+1
	if name == "" {
		return ""
	}
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n), least); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace between a and b, or limit if it is not below.
func distance(a, b string, limit int) int {
	if abs := len(a) - len(b); abs >= limit || -abs >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

package console

import "strings"

// Sizes of a diff.
const (
	neighbours = 3      // lines around a change that are shown
	most       = 10_000 // lines of a file beyond which it is not compared line by line
)

// Compare says how the lines of a text changed, with a few lines around each change; nil where nothing did.
func Compare(old, now string) []Line {
	if old == now {
		return nil
	}
	x, y := split(old), split(now)
	pre, post := 0, 0
	for pre < min(len(x), len(y)) && x[pre] == y[pre] {
		pre++
	}
	for post < min(len(x), len(y))-pre && x[len(x)-1-post] == y[len(y)-1-post] {
		post++
	}
	var all []Line
	for i := range pre {
		all = append(all, Line{" ", i + 1, i + 1, x[i]})
	}
	all = append(all, middle(x[pre:len(x)-post], y[pre:len(y)-post], pre)...)
	for i := range post {
		k := post - i
		all = append(all, Line{" ", len(x) - k + 1, len(y) - k + 1, x[len(x)-k]})
	}
	return near(all)
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// middle finds the longest common lines of what is left between the equal ends. Where that would take too much room,
// everything counts as replaced.
func middle(x, y []string, before int) []Line {
	var out []Line
	if len(x)*len(y) > most*most/25 {
		for i, l := range x {
			out = append(out, Line{"-", before + i + 1, 0, l})
		}
		for i, l := range y {
			out = append(out, Line{"+", 0, before + i + 1, l})
		}
		return out
	}
	// common[i][j] is how many lines x[i:] and y[j:] have in common, in order.
	common := make([][]int32, len(x)+1)
	for i := range common {
		common[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out = append(out, Line{" ", before + i + 1, before + j + 1, x[i]})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			out = append(out, Line{"-", before + i + 1, 0, x[i]})
			i++
		default:
			out = append(out, Line{"+", 0, before + j + 1, y[j]})
			j++
		}
	}
	return out
}

// near leaves out what is far from every change.
func near(all []Line) []Line {
	keep := make([]bool, len(all))
	for i, l := range all {
		if l.Op != " " {
			for k := max(0, i-neighbours); k <= min(len(all)-1, i+neighbours); k++ {
				keep[k] = true
			}
		}
	}
	out := []Line{}
	for i, l := range all {
		switch {
		case keep[i]:
			out = append(out, l)
		case len(out) > 0 && out[len(out)-1].Op != "…":
			out = append(out, Line{Op: "…"})
		}
	}
	if n := len(out); n > 0 && out[n-1].Op == "…" {
		out = out[:n-1]
	}
	return out
}

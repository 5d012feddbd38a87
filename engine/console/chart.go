package console

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Sizes of a chart, in its own units.
const (
	barWidth    = 6
	barGap      = 2
	chartHeight = 36
)

// bars draws runs as bars, oldest first: how much each wrote ("done") or how long it took ("seconds"). Heights are of
// square roots, so that a first run does not flatten those after it; every run can be seen.
func bars(points []Point, what string) template.HTML {
	var b strings.Builder
	top, sum, bad := 0.0, 0.0, 0
	height := func(p Point) float64 {
		if what == "seconds" {
			return p.Seconds
		}
		return float64(p.Done + p.Failed)
	}
	for _, p := range points {
		top, sum = max(top, height(p)), sum+height(p)
		if p.Bad {
			bad++
		}
	}
	label := fmt.Sprintf("%s, %s written", counted(int64(len(points)), "run", "runs"), counted(int64(sum), "action", "actions"))
	if what == "seconds" {
		label = fmt.Sprintf("%s, the longest took %s", counted(int64(len(points)), "run", "runs"), seconds(top))
	}
	if bad > 0 {
		label += fmt.Sprintf(", %d of them failed or stopped", bad)
	}
	width := recent * (barWidth + barGap)
	fmt.Fprintf(&b, `<svg class="bars" role="img" aria-label="%s" viewBox="0 0 %d %d" preserveAspectRatio="none">`, template.HTMLEscapeString(label), width, chartHeight)
	fmt.Fprintf(&b, `<line class="axis" x1="0" y1="%d" x2="%d" y2="%d"/>`, chartHeight-1, width, chartHeight-1)
	left := width - len(points)*(barWidth+barGap)
	for i, p := range points {
		h, class := 2.0, "none"
		if v := height(p); v > 0 && top > 0 {
			h, class = 4+math.Sqrt(v/top)*(chartHeight-6), "some"
		}
		switch {
		case p.Bad:
			h, class = max(h, 10), "bad"
		case p.Failed > 0:
			class = "part"
		}
		title := fmt.Sprintf("run %d, %s: %d done, %d not, %s", p.Run, p.Started.UTC().Format("2006-01-02 15:04:05Z"), p.Done, p.Failed, seconds(p.Seconds))
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%.1f" width="%d" height="%.1f"><title>%s</title></rect>`, class, left+i*(barWidth+barGap), chartHeight-1-h, barWidth, h, template.HTMLEscapeString(title))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

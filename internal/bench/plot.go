package bench

import (
	"fmt"
	"math"
	"strings"
)

// The plot's size and margins, in its own units.
const (
	plotWidth, plotHeight = 720, 400
	plotLeft, plotRight   = 70, 110
	plotTop, plotBottom   = 30, 50
	plotInnerWidth        = plotWidth - plotLeft - plotRight
	plotInnerHeight       = plotHeight - plotTop - plotBottom
	plotFont              = "font-family=\"sans-serif\" font-size=\"12\""
)

// plotColours tell contenders apart, also to those who see no red or green.
var plotColours = map[string]string{dnat: "#777777", hash: "#000000", session: "#0072b2", flow: "#e69f00", kernel: "#009e73"}

// plotOf is an SVG of rate against number of sessions: medians, with lines
// from the lowest to the highest of the rounds.
func plotOf(r Results) string {
	p := plot{sizes: r.Size.Sessions}
	for _, name := range allContenders {
		for _, n := range p.sizes {
			p.top = max(p.top, r.Samples.of(sizes, name, n).distribution(rate).Max)
		}
	}
	p.top = ceiling(p.top)
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="packets a second against number of sessions">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&p.b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	p.axes()
	for _, name := range allContenders {
		p.line(r.Samples, name)
	}
	p.b.WriteString("</svg>\n")
	return p.b.String()
}

type plot struct {
	b     strings.Builder
	sizes []int
	top   float64 // the highest rate that has room
	used  []float64
}

// ceiling rounds up to a number with one digit that is not 0.
func ceiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	return math.Ceil(v/unit) * unit
}

func (p *plot) x(sessions int) float64 {
	low, high := math.Log10(float64(p.sizes[0])), math.Log10(float64(p.sizes[len(p.sizes)-1]))
	return plotLeft + plotInnerWidth*(math.Log10(float64(sessions))-low)/max(high-low, 1e-9)
}

func (p *plot) y(rate float64) float64 { return plotTop + plotInnerHeight*(1-rate/p.top) }

func (p *plot) text(x, y float64, anchor, colour, words string) {
	fmt.Fprintf(&p.b, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s" %s>%s</text>`+"\n", x, y, anchor, colour, plotFont, words)
}

func (p *plot) stroke(x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(&p.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, colour)
}

func (p *plot) axes() {
	const grey, black, steps = "#dddddd", "#000000", 5
	for i := range steps + 1 {
		v := p.top * float64(i) / steps
		p.stroke(plotLeft, p.y(v), plotLeft+plotInnerWidth, p.y(v), grey)
		p.text(plotLeft-8, p.y(v)+4, "end", black, fmt.Sprintf("%.0f k", v/1000))
	}
	for _, n := range p.sizes {
		p.stroke(p.x(n), plotTop, p.x(n), plotTop+plotInnerHeight, grey)
		p.text(p.x(n), plotTop+plotInnerHeight+18, "middle", black, fmt.Sprint(n))
	}
	p.text(plotLeft+plotInnerWidth/2, plotHeight-8, "middle", black, "sessions")
	p.text(plotLeft, plotTop-12, "middle", black, "packets/s")
}

// line draws a contender's medians.
func (p *plot) line(s samples, name string) {
	colour := plotColours[name]
	var points []string
	var last float64
	for _, n := range p.sizes {
		d := s.of(sizes, name, n).distribution(rate)
		if d.N == 0 {
			continue
		}
		last = p.y(d.Median)
		points = append(points, fmt.Sprintf("%.1f,%.1f", p.x(n), last))
		p.stroke(p.x(n), p.y(d.Min), p.x(n), p.y(d.Max), colour)
		fmt.Fprintf(&p.b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", p.x(n), last, colour)
	}
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(&p.b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
	p.text(plotLeft+plotInnerWidth+8, p.free(last)+4, "start", colour, name)
}

// free is the place nearest to y, downwards, where a label covers no other.
func (p *plot) free(y float64) float64 {
	const height = 14
	for moved := true; moved; {
		moved = false
		for _, u := range p.used {
			if math.Abs(u-y) < height {
				y, moved = u+height, true
			}
		}
	}
	p.used = append(p.used, y)
	return y
}

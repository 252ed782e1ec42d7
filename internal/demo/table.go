package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// column is one of a table. The last one of a table may be overrun.
type column struct {
	title string
	width int // in characters
	right bool
}

// table is columns with two blanks between them. Its rows are written one by
// one, since some take a while to come.
type table []column

// head writes the columns' titles.
func (s *screen) head(t table) {
	cells := make([]cell, len(t))
	for i, c := range t {
		cells[i] = dim.of("%s", c.title)
	}
	s.row(t, cells...)
}

// row writes a row; cells that are missing at its end are empty.
func (s *screen) row(t table, cells ...cell) {
	line := []cell{normal.of(indent)}
	for i, c := range cells {
		gap := strings.Repeat(" ", max(0, t[i].width-utf8.RuneCountInString(c.text)))
		between := ""
		if i > 0 {
			between = "  "
		}
		if t[i].right {
			line = append(line, normal.of("%s%s", between, gap), c)
		} else {
			line = append(line, normal.of("%s", between), c, normal.of("%s", gap))
		}
	}
	s.write(line...)
}

// count writes a number with commas between thousands.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// span writes a duration with three digits: 0.42 ms, 12.3 ms, 1.24 s. No line
// breaks before the unit.
func span(d time.Duration) string {
	v, unit := float64(d)/1e6, "ms"
	if v >= 999.5 {
		v, unit = v/1e3, "s"
	}
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f"+noBreak+"%s", v, unit)
	case v < 99.95:
		return fmt.Sprintf("%.1f"+noBreak+"%s", v, unit)
	default:
		return fmt.Sprintf("%.0f"+noBreak+"%s", v, unit)
	}
}

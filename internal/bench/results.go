package bench

import "time"

// Results are those of a run.
type Results struct {
	Machine Machine
	Taken   time.Time
	Rounds  int
	Size    Size
	Figures []Figure
	Samples samples
}

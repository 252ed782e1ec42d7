package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// printFigures prints what was reached.
func printFigures(w io.Writer, list []Figure) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\ttarget\tmedian\tfrom\tto\t")
	for i := range list {
		f := &list[i]
		verdict := "reached"
		if !f.Reached() {
			verdict = "NOT REACHED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.target(), number(f.Value.Median), number(f.Value.Min), number(f.Value.Max), f.Unit, verdict)
	}
	t.Flush()
}

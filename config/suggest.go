package config

import (
	"strconv"
	"strings"
)

// show returns a value as a message may repeat it: quoted, and not too long.
func show(s string) string {
	if len(s) > maxShownLength {
		return strconv.Quote(s[:maxShownLength]) + "..."
	}
	return strconv.Quote(s)
}

// shorten is show without quotes, for what has harmless characters only.
func shorten(s string) string {
	if len(s) > maxShownLength {
		return s[:maxShownLength] + "..."
	}
	return s
}

// count returns a number of things: 1 byte, 2 bytes.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// nearest returns the known name that one was probably meant to be; "" where
// none is near.
func nearest(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if plain(name) == plain(k) {
			return k
		}
		// Two slips, but fewer than half a short word.
		if d := distance(name, k); d < least && d*2 < len(k) {
			best, least = k, d
		}
	}
	return best
}

// plain drops what different ways of joining words differ in.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", ".", "").Replace(name))
}

// distance is the number of characters to insert, drop, change or swap with
// their neighbour to make one word of the other.
func distance(a, b string) int {
	if len(a) > maxNameLength {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	var above []int
	for i := 1; i <= len(a); i++ {
		previous := row
		row = make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := previous[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, previous[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], above[j-2]+1)
			}
		}
		above = previous
	}
	return row[len(b)]
}

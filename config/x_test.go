package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHunt(t *testing.T) {
	chars := []string{"a", " ", "\n", "\t", ":", ": ", "- ", "-", "[", "]", "{", "}", ",", "\"", "'", "#", " #", "<", "<<", "<<: ", "|", ">", "|\n ", "&", "&a ", "*a ", "!", "%", "? ", "@", "\\", "0", ".", "\r", "\n ", "\n  ", "\na: ", "\n- ", "é", "\x00"[:0]}
	prefixes := []string{"", "a: ", "a: \"", "a: '", "a: |\n  ", "[", "{a: ", "[a, ", "&a [", "a:\n  b: "}
	n := 100000
	start := time.Now()
	worst := time.Duration(0)
	var pats []string
	for _, a := range chars {
		pats = append(pats, a)
		for _, b := range chars {
			pats = append(pats, a+b)
		}
	}
	for i, p := range pats {
		if p == "" || i%3 != int(os.Getenv("PART")[0]-'0') {
			continue
		}
		for _, pre := range prefixes {
			if time.Since(start) > 500*time.Second {
				fmt.Println("stopped at", i)
				return
			}
			s := pre + strings.Repeat(p, n/len(p))
			t0 := time.Now()
			Parse("", []byte(s))
			d := time.Since(t0)
			for k := 0; k < 2 && d > 300*time.Millisecond && d < 5*time.Second; k++ {
				t0 := time.Now()
				Parse("", []byte(s))
				d = min(d, time.Since(t0))
			}
			if d > 300*time.Millisecond {
				fmt.Printf("%q x %q: %v\n", pre, p, d)
				if d > worst {
					worst = d
				}
			}
		}
	}
	fmt.Println("worst", worst, time.Since(start))
}

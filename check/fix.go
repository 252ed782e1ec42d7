package check

import (
	"context"
	"fmt"
	"strings"
)

// Fix sets what results say is fixable, and nothing else: forwarding where
// packets have to be forwarded, a larger conntrack table, loose reverse path
// filters. It returns a result for each deed: OK, or Fail with the reason. The
// settings last until the next boot. Like [Run] it works in the network namespace of the
// calling thread.
func Fix(ctx context.Context, results []Result) []Result {
	var done []Result
	for _, r := range results {
		if ctx.Err() != nil {
			return done
		}
		if r.Fixable {
			done = append(done, r.apply())
		}
	}
	return done
}

func (r Result) apply() Result {
	done := Result{Name: r.Name, Status: OK}
	var words []string
	for _, s := range r.set {
		was, err := readSysctl(s.name)
		if err == nil {
			err = s.write()
		}
		if err != nil {
			done.Status, done.Fix = Fail, r.Fix
			words = append(words, err.Error())
			break
		}
		// The kernel takes some values and keeps its own.
		if is, err := readSysctl(s.name); err != nil || is != s.value {
			done.Status, done.Fix = Fail, r.Fix
			words = append(words, fmt.Sprintf("%s is %d, it was set to %d", sysctlPath(s.name), is, s.value))
			break
		}
		words = append(words, fmt.Sprintf("%s was %d", s.argument(), was))
	}
	done.Found = strings.Join(words, ", ")
	if done.Status == OK {
		done.Found = "set " + done.Found + "; until the next boot, to keep it write it to a file in /etc/sysctl.d"
	}
	return done
}

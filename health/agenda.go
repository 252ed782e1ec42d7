package health

import (
	"container/heap"
	"time"
)

// agenda is a heap of subjects: the first is the one that something is due for
// first. A subject whose times have changed is moved by fix.
type agenda []*subject

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

// Push is of heap.Interface.
func (a *agenda) Push(x any) {
	s := x.(*subject)
	s.place = len(*a)
	*a = append(*a, s)
}

// Pop is of heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	s := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return s
}

func (a *agenda) add(s *subject)    { heap.Push(a, s) }
func (a *agenda) fix(s *subject)    { heap.Fix(a, s.place) }
func (a *agenda) remove(s *subject) { heap.Remove(a, s.place) }

// never is when something is due for a subject whose probe is on its way.
var never = time.Unix(1<<40, 0)

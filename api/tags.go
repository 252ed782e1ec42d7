package api

import (
	"sync"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/config"
	"github.com/roamlb/roamlb/store"
)

// tags knows the tag of all services together. A list of a thousand is asked for
// a page at a time, and only what has changed is written for its tag. Its zero
// value is ready, and safe for concurrent use.
type tags struct {
	mu       sync.Mutex // guards the following
	texts    map[string]canonical
	revision uint64 // that all is of; 0: of none
	last     string
}

// canonical is a service and the text that its tag is made of.
type canonical struct {
	service balancer.Service
	text    []byte
}

// all is the tag of all services of a state.
func (t *tags) all(st *store.State) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.revision == st.Revision && t.revision != 0 {
		return t.last
	}
	texts := make(map[string]canonical, len(st.Services))
	var whole []byte
	for _, s := range byName(st.Services) {
		c := t.texts[s.Name]
		if c.text == nil || !c.service.Equal(&s) {
			c = canonical{s, config.MarshalService(&s)}
		}
		texts[s.Name] = c
		whole = append(append(whole, c.text...), '\n')
	}
	t.texts, t.revision, t.last = texts, st.Revision, etag(st.Secret, whole)
	return t.last
}

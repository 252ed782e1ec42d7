package ctsync

import "errors"

// consistent recounts all references.
func (c *core) consistent() error {
	bases, onFlow := make(map[uint32]uint32), make(map[uint32]int)
	roams := 0
	for _, t := range c.tables[1:] {
		if t == nil {
			continue
		}
		shared, waiting := 0, 0
		for at := range t.tracks {
			for k, chunk := range t.tracks[at] {
				if chunk == nil {
					continue
				}
				for i := range chunk {
					tr := &chunk[i]
					if tr.gen == 0 {
						if tr.base != 0 || tr.roams != 0 {
							return errors.New("a place without a session has flows")
						}
						continue
					}
					h := makeHandle(uint32(at), uint32(k*chunkSize+i))
					if tr.base != 0 {
						bases[tr.base]++
					}
					waits := 0
					for r := tr.roams; r != 0; r = c.roams.at(r).next {
						rec := c.roams.at(r)
						roams++
						if !rec.has(roamLive) || rec.table != t || rec.session != h || rec.flow == tr.base {
							return errors.New("a session's list holds a roam that is not its own, or leads nowhere")
						}
						onFlow[rec.flow]++
						if rec.has(roamShared) {
							shared++
						} else {
							waiting++
							waits++
						}
					}
					if waits > 1 {
						return errors.New("a session waits for two answers")
					}
				}
			}
		}
		if shared != t.shared || waiting != t.waiting {
			return errors.New("shared or waiting are miscounted")
		}
	}
	if roams != c.roams.held() {
		return errors.New("roams leak")
	}
	return c.flowsConsistent(bases, onFlow)
}

func (c *core) flowsConsistent(bases map[uint32]uint32, roams map[uint32]int) error {
	fs := &c.flows
	live, idle := 0, 0
	for i := uint32(1); i < fs.slab.size; i++ {
		f := fs.at(i)
		if !f.has(flowLive) {
			continue
		}
		live++
		if f.bases != bases[i] {
			return errors.New("a flow's bases are miscounted")
		}
		n := 0
		for r := f.roams; r != 0; r = c.roams.at(r).nextOnFlow {
			n++
		}
		if n != roams[i] {
			return errors.New("a flow's list of roams is not what the sessions' are")
		}
		if !f.used() && !f.has(flowBusy) {
			if f.dead() {
				return errors.New("a dead flow that nobody uses stays")
			}
			idle++
		}
		if (f.used() || f.has(flowBusy)) == fs.resting(i) {
			return errors.New("a flow rests and is used, or neither")
		}
		if f.bases == 0 && f.firstGen != 0 {
			return errors.New("a flow names a first session and has none")
		}
		if fs.find(flowKey{fs.client(i), fs.listener(i), f.backend, f.has(flowZoned)}) != i {
			return errors.New("a flow is not found by its key")
		}
	}
	if live != fs.slab.held() || live != fs.index.used || idle != fs.idle.n {
		return errors.New("flows are miscounted")
	}
	return nil
}

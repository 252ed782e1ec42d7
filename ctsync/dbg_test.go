package ctsync
import ("fmt")
func dbg(w *world){ for _,e:=range w.told { fmt.Printf("%v %+v\n", w.clock, e)}; for t,e:=range w.ct.entries {fmt.Printf("  %v %v %v\n", t, e.Status, e.ID)}
 c:=w.s.core
 for i:=uint32(1);i<c.flows.slab.size;i++ { f:=c.flows.at(i); if f.has(flowLive) {fmt.Printf(" flow %d %v flags %b id %d bases %d born %v epoch %d/%d\n", i, c.flows.client(i), f.flags, f.id, f.bases, f.born,f.epoch,c.epoch)}}
}

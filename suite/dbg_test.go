package suite
import ("testing";"time";"fmt";"os/exec")
func TestDbgKill(t *testing.T){
 b := newBed(t, bedOptions{}); b.serve(b.service())
 for round := range 8 {
  l := b.startLoad(round*400_000, 10000)
  time.Sleep(300*time.Millisecond); b.daemon.kill(); time.Sleep(400*time.Millisecond)
  l.cancel(); <-l.stopped; time.Sleep(300*time.Millisecond)
  lost:=0; for i,n := range l.sent { lost += n-b.arrived.of(l.base+i).total() }
  l2 := b.startLoad(round*400_000+200_000, 10000)
  time.Sleep(300*time.Millisecond); b.start(); time.Sleep(400*time.Millisecond)
  l2.cancel(); <-l2.stopped; time.Sleep(300*time.Millisecond)
  lost2:=0; for i,n := range l2.sent { lost2 += n-b.arrived.of(l2.base+i).total() }
  if lost2 > 0 { b.LB.Do(func() error { o,_:=exec.Command("sh","-c","nft list ruleset 2>&1| grep -E 'chain|counter packets|Abort|rror' | grep -v elements; conntrack -S; cat /proc/net/netfilter/nfnetlink_queue; cat /proc/net/stat/nf_conntrack; cat /proc/net/softnet_stat; nstat -az 2>/dev/null| grep -i -E 'drop|discard|InAddrErr|NoRoute' | grep -v ' 0  *0.0'").CombinedOutput(); fmt.Println(string(o)); return nil}) }
  t.Log("kill lost",lost,"start lost",lost2, b.daemon.find(func(l logLine)bool{return l.str("level")=="WARN"&&l.str("msg")!="check"}))
 }
}

package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/roamlb/roamlb/balancer"
	"github.com/roamlb/roamlb/nfq"
	"github.com/roamlb/roamlb/openapi"
)

// Explain is POST /v1/explain.
func (h *handlers) Explain(ctx context.Context, r openapi.ExplainRequestObject) (openapi.ExplainResponseObject, error) {
	client, listener, payload, err := packetOf(r.Body)
	if err != nil {
		return nil, err
	}
	s := h.Snapshot()
	if s == nil {
		return nil, unavailable.because("the daemon is starting")
	}
	x := explainer{show: h.shower(ctx), client: client, listener: listener, payload: payload}
	x.doc = openapi.Explanation{Client: client.String(), Listener: listener.String(), Fields: []openapi.ExplainedField{}, Steps: []openapi.Step{}}
	x.explain(s.Lookup(listener))
	return openapi.Explain200JSONResponse{Body: x.doc}, nil
}

// packetOf reads the packet that a request holds.
func packetOf(p *openapi.Packet) (client, listener netip.AddrPort, payload []byte, err error) {
	clean := strings.NewReplacer(" ", "", "\n", "", "\t", "", "\r", "", ":", "").Replace(p.Packet)
	data, e := hex.DecodeString(clean)
	if e != nil {
		return client, listener, nil, invalid.because("").at("/packet", "must be hex digits, two a byte")
	}
	if p.Form != nil && *p.Form == openapi.IP {
		return ipPacket(p, data)
	}
	wrong := invalid.because("")
	read := func(pointer string, text *string) (at netip.AddrPort) {
		if text == nil {
			wrong.note(pointer, "is missing: of a payload it has to be told")
			return at
		}
		at, e := netip.ParseAddrPort(*text)
		if e != nil {
			wrong.note(pointer, "must be an address and a port")
		}
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	client, listener = read("/client", p.Client), read("/listener", p.Listener)
	if len(wrong.Errors) == 0 && client.Addr().Is6() != listener.Addr().Is6() {
		wrong.note("/client", "is of another family than the listener")
	}
	if len(wrong.Errors) > 0 {
		return client, listener, nil, wrong
	}
	return client, listener, data, nil
}

func ipPacket(p *openapi.Packet, data []byte) (client, listener netip.AddrPort, payload []byte, err error) {
	if p.Client != nil || p.Listener != nil {
		return client, listener, nil, invalid.because("").at("", "client and listener are in an IP packet: leave them out")
	}
	client, listener, payload, ok := nfq.DecodeUDP(data)
	if !ok {
		return client, listener, nil, invalid.because("").at("/packet", "is no whole IPv4 or IPv6 packet that carries UDP")
	}
	return client, listener, payload, nil
}

// explainer tells the way of one packet, step by step.
type explainer struct {
	show             keyShower
	client, listener netip.AddrPort
	payload          []byte
	doc              openapi.Explanation
}

func (x *explainer) say(step openapi.StepName, format string, args ...any) {
	x.doc.Steps = append(x.doc.Steps, openapi.Step{Name: step, Text: fmt.Sprintf(format, args...)})
}

func (x *explainer) end(reason openapi.ExplanationReason, verdict openapi.ExplanationVerdict, format string, args ...any) {
	x.doc.Reason, x.doc.Verdict = reason, verdict
	x.say("verdict", format, args...)
}

func (x *explainer) explain(v *balancer.View) {
	x.say("packet", "%d bytes of payload from %s to %s", len(x.payload), x.client, x.listener)
	if v == nil {
		x.say("service", "no service listens on %s", x.listener)
		x.end("no-service", "not-ours", "none of roamlb's business: it goes on as if roamlb were not there")
		return
	}
	pinning, path := openapi.ExplanationPinning(v.Pinning), openapi.ExplanationDatapath(v.Datapath)
	x.doc.Service, x.doc.Pinning, x.doc.Datapath = some(v.Service.Name), &pinning, &path
	x.say("service", "service %s listens there", v.Service.Name)
	e := v.Explain(x.client, x.payload)
	if e.Refused {
		x.say("access", "its allow and deny lists do not admit %s", x.client.Addr())
		x.end("refused", "dropped", "dropped and counted")
		return
	}
	x.pinning(v)
	x.key(v, &e)
	x.decision(v, &e)
	x.verdict(v, &e)
}

func (x *explainer) pinning(v *balancer.View) {
	if v.Pinning == balancer.PinFlow {
		x.say("pinning", "flow, %s: what follows is of the first packet of a flow; the others go where it went", v.PinReason)
		return
	}
	if v.Datapath == balancer.DatapathKernel {
		x.say("pinning", "session, %s: every packet goes by its own key; of a new session nftables decides the first one and tells the daemon", v.PinReason)
		return
	}
	x.say("pinning", "session, %s: every packet goes by its own key", v.PinReason)
}

func (x *explainer) key(v *balancer.View, e *balancer.Explanation) {
	if e.Variant >= 0 {
		name := v.Service.Key.Variants[e.Variant].Name
		if name == "" {
			name = strconv.Itoa(e.Variant)
		}
		x.doc.Variant = &name
	}
	switch {
	case e.Variant < 0:
		x.say("key", "no variant of the key matches: the packet has no key")
		return
	case e.Short:
		x.say("key", "variant %s matches, and the payload is too short for its fields: the packet has no key", *x.doc.Variant)
		return
	}
	for _, f := range e.Fields {
		doc := openapi.ExplainedField{Offset: int32(f.Offset), Length: int32(f.Length)}
		if f.Mask != nil {
			doc.Mask = some(hex.EncodeToString(f.Mask))
		}
		if x.show.full {
			doc.Value = hex.EncodeToString(f.Value)
		}
		x.doc.Fields = append(x.doc.Fields, doc)
	}
	x.doc.Key, x.doc.KeyHash = x.show.key(e.Key)
	told := x.doc.Key
	if told == nil {
		told = x.doc.KeyHash
	}
	fields := "1 field makes"
	if n := len(e.Fields); n != 1 {
		fields = fmt.Sprintf("%d fields make", n)
	}
	x.say("key", "variant %s: %s the key %s, %d bytes", *x.doc.Variant, fields, *told, len(e.Key))
}

func (x *explainer) decision(v *balancer.View, e *balancer.Explanation) {
	if e.Bound {
		b := openapi.ExplainedBinding{Confirmed: e.Binding.Confirmed, Backend: some(backendName(v, e.Binding.Backend))}
		x.doc.Binding = &b
		if b.Backend != nil {
			x.say("binding", "a live session has this key and is bound to backend %s, whatever the ring says", *b.Backend)
		} else {
			x.say("binding", "a live session has this key, and its backend serves it no longer: it is bound anew")
		}
	} else if e.Key != nil {
		x.say("binding", "no live session has this key")
	}
	if !e.Hashed {
		return
	}
	slot := int32(e.Slot)
	x.doc.Slot = &slot
	hash := ""
	if x.show.full {
		h := int64(e.Hash)
		x.doc.Hash, hash = &h, fmt.Sprintf(" of hash %#08x", e.Hash)
	}
	owner := "nobody"
	if e.Ring != 0 {
		owner = "backend " + backendName(v, e.Ring)
	}
	if e.Key == nil {
		x.say("fallback", "by %s: slot %d%s of %d is %s's", v.Service.Key.Fallback, e.Slot, hash, v.Service.Slots, owner)
		return
	}
	x.say("ring", "slot %d%s of %d is %s's", e.Slot, hash, v.Service.Slots, owner)
}

func (x *explainer) verdict(v *balancer.View, e *balancer.Explanation) {
	switch {
	case e.Reason == balancer.ByDrop:
		x.say("fallback", "the service drops packets without a key")
		x.end("drop", "dropped", "dropped and counted")
		return
	case e.Backend == 0 && v.Service.NoBackend == balancer.NoBackendDrop:
		x.end("nobody", "dropped", "no backend can serve it: dropped and counted")
		return
	case e.Backend == 0:
		x.end("nobody", "rejected", "no backend can serve it: answered with ICMP port unreachable")
		return
	}
	b := v.Backend(e.Backend)
	at := netip.AddrPortFrom(b.Address(x.client.Addr().Is6()), b.Port)
	x.doc.Backend = &openapi.ExplainedBackend{Name: b.Name, Address: at.String(), State: openapi.ExplainedBackendState(stateName(b, v))}
	x.say("backend", "backend %s at %s is %s", b.Name, at, stateName(b, v))
	x.end(openapi.ExplanationReason(e.Reason.String()), "balanced", "sent to backend %s, by its %s", b.Name, e.Reason)
}

// Package ctsync keeps the promise of roamlb: a session keeps its backend when
// its client's address changes, and the conntrack entry that it left behind
// goes, exactly and soon.
//
// It holds two kinds of state. Tables bind sessions to backends; the packet
// path asks them through balancer.Bindings and waits for nothing but a shard's
// mutex. Flows are what conntrack knows of a client that talks to a listener;
// they are fed by facts (what the packet path decided), by conntrack's events
// and by dumps, and they say which entry is stale, and when that is proven.
//
// The words are those of the domain: a session is on its base flow; when it is
// seen from a new client it roams, and the new flow is its candidate until the
// backend has answered there. Then the base flow's entry, if no other session
// is on it, is deleted: by tuple, zone and conntrack id, after a look at the
// entry. What is only guessed is never deleted.
//
// The decisions about flows are a state machine without I/O (core); a Sync
// runs it: one goroutine feeds it facts, events and time, one carries out the
// deletions it asks for, one reads conntrack's events, one dumps conntrack,
// and one takes over what the kernel's sessions maps know.
package ctsync

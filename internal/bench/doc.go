// Package bench measures roamlb beside what the kernel does alone: plain DNAT,
// jhash DNAT, an ordinary NFQUEUE callback and, where there is one, IPVS. All
// of them get the same packets in the same kind of network of namespaces, by
// turns, in rounds, so that what the machine does meanwhile meets all alike;
// what counts are the ratios within a round.
//
// The packets are made up before the clock runs. They are counted where they
// arrive, and each is compared with the backend that its key belongs to.
package bench

// What the parts of our nft table mean.

const blocks: [RegExp, string][] = [
  [
    /^chain (prerouting|output)-steer$/,
    "The first look at each packet, before conntrack: its destination picks the service's chain. Packets of this host itself come by output.",
  ],
  [
    /^chain (prerouting|output)-bind$/,
    "Right behind steer: what the daemon decided becomes the packet's zone.",
  ],
  [
    /^chain (prerouting|output)-track$/,
    "Behind conntrack: the first packets of a new flow are shown to the daemon, which notices roams by them.",
  ],
  [
    /^chain (prerouting|output)-translate$/,
    "The nat chain, which sees the first packet of a flow: its zone picks the backend's address.",
  ],
  [
    /^chain input$/,
    "What a backend on another host sends to this host by itself gets its listener as source.",
  ],
  [
    /^chain told$/,
    "Shows the first packets of flows to the daemon, as copies where the kernel decides alone.",
  ],
  [
    /^chain steer$/,
    "The first look at each packet, before conntrack: its destination picks the service's chain.",
  ],
  [
    /^chain steer[46]-/,
    "Before conntrack: a packet with a known session's key gets its backend's zone here and is done. The first of a session goes to the daemon.",
  ],
  [/^chain bind$/, "Right behind steer: what the daemon decided becomes the packet's zone."],
  [
    /^chain bind[46]-/,
    "Puts the daemon's decision into effect. Where there was none, the kernel takes the ring itself, with the same result.",
  ],
  [/^chain bound$/, "The zone is set: the id leaves the packet's mark."],
  [/^chain fallback/, "For packets without a key: the source address decides."],
  [/^chain record$/, "After the decision: remembers which backend a session has."],
  [
    /^chain record[46]-/,
    "Writes the session's backend into the sessions map, so that the next packets never leave the kernel.",
  ],
  [
    /^chain recorded$/,
    "Tells the daemon of flows that it has not seen: a known session from a new client is a roam.",
  ],
  [
    /^chain track/,
    "The first packets of a new flow are shown to the daemon here: this is how roams are noticed.",
  ],
  [/^chain translate$/, "The nat chain: the zone picks the backend's address."],
  [
    /^chain translate[46]-/,
    "Translates the destination to the backend of the packet's zone, and marks the flow as ours.",
  ],
  [
    /^chain (masquerade|postrouting)/,
    "Services with snat: masquerade get this host's address as source here.",
  ],
  [/^chain answers/, "What backends send by themselves must not leave under their own address."],
  [
    /^chain (quoted|errors?)/,
    "ICMP errors about replies: the daemon knows whose flow they are about.",
  ],
  [
    /^chain refused[46]$/,
    "ICMP errors from backends: the daemon sees some, and probes the backend at once.",
  ],
  [/^map zones/, "From a backend's id in the packet mark to its conntrack zone."],
  [/^map ids/, "From a backend's zone back to its id: what the daemon is told."],
  [/^set allow/, "Sources that the service serves."],
  [/^set deny/, "Sources that the service does not serve, whatever it allows."],
  [
    /^set copied/,
    "Listeners whose first packets the kernel decides alone: the daemon gets copies.",
  ],
  [
    /^map steer/,
    "From listener to the service's steer chain. Few listeners have rules in its place.",
  ],
  [/^map bind/, "From listener to the service's bind chain."],
  [/^map record/, "From listener to the service's record chain."],
  [/^map translate/, "From listener to the service's translate chain."],
  [
    /^map targets/,
    "From a backend's zone to its address, with a counter: the first packets of flows.",
  ],
  [/^map flowtargets/, "The same for services that are pinned by flow: from mark to address."],
  [/^map slots/, "The ring: which backend's zone each slot has. A key's hash picks the slot."],
  [
    /^map sessions/,
    "The live sessions: from key to backend's zone. Dynamic: the kernel writes it by itself.",
  ],
  [/^map answers/, "From a backend's address to the listener that its own packets may come from."],
  [
    /^set answersdropped/,
    "Backends that serve several services: what they send by themselves is dropped and counted.",
  ],
  [/^set listeners/, "All listeners: what is sent elsewhere is none of our business."],
  [/^set quoted/, "Listeners, as ICMP errors quote them."],
  [/^set probed/, "Where health probes go: they are never balanced."],
  [/^ct timeout answers/, "Answers without an entry are forgotten at once."],
  [/^ct timeout/, "conntrack's timeouts for the flows of one service."],
];

const phrases: [RegExp, string][] = [
  [
    /ct original zone set @?[tn]h,\d+,\d+.* map @sessions/,
    "The key's bytes are looked up in the sessions map; a hit sets the backend's zone for this direction only.",
  ],
  [
    /ct original zone set .*map @zones/,
    "The id that the daemon put into the mark becomes the backend's zone.",
  ],
  [
    /ct original zone set jhash/,
    "The kernel hashes the key as the daemon would, and the ring's slot sets the zone.",
  ],
  [
    /queue .*bypass/i,
    "To the daemon, through NFQUEUE; if nobody reads there, the packet goes on by itself.",
  ],
  [/queue/i, "To the daemon, through NFQUEUE."],
  [/log prefix .* group/, "A copy goes to the daemon, through NFLOG; the packet goes on."],
  [
    /delete @sessions.*update @sessions/,
    "The session's binding is written anew: an update alone would keep the old one.",
  ],
  [/update @/, "An element is written by the kernel itself."],
  [/jhash/, "A hash of the bytes, scaled to the number of slots."],
  [
    /@th,(\d+),(\d+)/,
    "Bits of the packet from its UDP header on: 64 bits of header, then the payload.",
  ],
  [/@nh,/, "Bits of the packet from its IP header on: here the source address."],
  [/meta mark set/, "Some bits of the packet mark change; all others stay as they are."],
  [/meta mark &/, "Only our bits of the packet mark are looked at."],
  [/ct mark set/, "The flow's conntrack mark: ours, so that its later packets pass at once."],
  [/ct mark &/, "Whether the flow bears our conntrack mark."],
  [/ct event set/, "Of this flow conntrack reports only its first reply and its end."],
  [/ct state new/, "No entry yet in this zone."],
  [/dnat/, "The destination becomes the backend's address."],
  [/snat|masquerade/, "The source address changes."],
  [/reject/, "The client is told: ICMP port unreachable."],
  [/\bdrop\b/, "The packet ends here."],
  [/\baccept\b/, "Done in this chain; the next hook goes on."],
  [/goto (\S+)/, "Goes on in another chain, and does not come back."],
  [/vmap @/, "A lookup says in which chain to go on."],
  [/counter packets/, "How many packets and bytes came here."],
  [/type filter hook|type nat hook/, "Where the kernel calls this chain, and in which order."],
  [/flags dynamic,timeout/, "Elements are written by rules and expire by themselves."],
  [/^\s*size/, "How many elements fit."],
  [/^\s*timeout/, "How long an element stays unless it says otherwise."],
  [/elements = \{/, "The first elements; the others are folded here."],
  [/^\s*type /, "What the elements are made of: key, and behind the colon what it leads to."],
];

export interface Meaning {
  block: string;
  about: string;
  line: string[];
}

/** What a line and the block around it mean. */
export function meaningOf(text: string, block: string): Meaning {
  const about = blocks.find(([pattern]) => pattern.test(block))?.[1] ?? "";
  const line = phrases.filter(([pattern]) => pattern.test(text)).map(([, meaning]) => meaning);
  return { block, about, line: [...new Set(line)] };
}

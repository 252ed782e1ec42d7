// The members that a health check has, by its kind.

export interface ProbeMember {
  name: string; // in the draft
  pointer: string;
  label: string;
  help: string;
  lines?: number;
  placeholder?: string;
}

type Kinds = readonly string[];

const every: Kinds = ["udp", "icmp", "tcp", "http", "https"];
const web: Kinds = ["http", "https"];

const members: [ProbeMember, Kinds][] = [
  [member("interval", "Interval", "From one probe to the next, 100ms to 1h.", "5s"), every],
  [
    member("timeout", "Timeout", "How long an answer may take, no longer than the interval.", "2s"),
    every,
  ],
  [member("rise", "Rise", "Answers in a row that bring a backend back.", "2"), every],
  [member("fall", "Fall", "Failures in a row that take a backend down.", "3"), every],
  [
    member(
      "jitter",
      "Jitter",
      "By how much each interval is shortened at random, 0% to 50%.",
      "10%",
    ),
    every,
  ],
  [
    member(
      "slow_start",
      "Slow start",
      "How long the weight of a backend that comes back rises.",
      "0s",
    ),
    every,
  ],
  [
    member(
      "sources",
      "Sources",
      "Addresses of this host that probes come from, one of each family.",
    ),
    every,
  ],
  [
    member("port", "Probe port", "Where probes go, if not to the backend's port."),
    ["udp", "tcp", ...web],
  ],
  [member("send", "Send", "What is sent, in hex."), ["udp"]],
  [
    member("bytes", "Expect bytes", "The whole answer, in hex.", "", "/health/expect/bytes"),
    ["udp"],
  ],
  [
    member(
      "prefix",
      "Expect prefix",
      "How the answer begins, in hex.",
      "",
      "/health/expect/prefix",
    ),
    ["udp"],
  ],
  [
    member(
      "match",
      "Expect match",
      "A regular expression (RE2) for the answer.",
      "",
      "/health/expect/match",
    ),
    ["udp", ...web],
  ],
  [
    member(
      "status",
      "Expect status",
      "Of the HTTP answer: 200, or 200-299.",
      "200-299",
      "/health/expect/status",
    ),
    web,
  ],
  [member("path", "Path", "What is asked for.", "/"), web],
  [member("host", "Host", "Host of the request and of the certificate, if not the address."), web],
  [
    member(
      "verify",
      "Verify",
      "Whether the certificate has to be valid: true or false.",
      "true",
      "/health/tls/verify",
    ),
    ["https"],
  ],
  [
    member("ca", "CA file", "PEM file of the authorities that sign it.", "", "/health/tls/ca"),
    ["https"],
  ],
];

function member(
  name: string,
  label: string,
  help: string,
  usual = "",
  at = `/health/${name}`,
): ProbeMember {
  return { name, label: `Probe ${label.toLowerCase()}`, help, placeholder: usual, pointer: at };
}

export function probeMembers(kind: string): ProbeMember[] {
  return members.filter(([, kinds]) => kinds.includes(kind)).map(([of]) => of);
}

/** A draft for another kind, with the members that it has too. */
export function withKind(draft: Record<string, string>, kind: string): Record<string, string> {
  const kept = probeMembers(kind).map((m) => m.name);
  const entries = Object.entries(draft).filter(([name]) => kept.includes(name));
  return { ...Object.fromEntries(entries), kind };
}

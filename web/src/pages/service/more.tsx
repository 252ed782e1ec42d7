// The members of a service that most never touch.
import { pointer } from "../../lib/pointer.ts";
import { SelectField, TextField, type Choice } from "../../parts/fields.tsx";
import type { Draft, PlainMember } from "./draft.ts";

interface Member {
  name: PlainMember;
  label: string;
  help: string;
  choices?: Choice[];
  usual?: string;
}

const choice = (value: string, label: string): Choice => ({ value, label });

const members: Member[] = [
  {
    name: "pinning",
    label: "Pinning",
    help: "What binds packets to a backend.",
    choices: [
      choice("auto", "auto: the key, where nftables can load it"),
      choice("session", "session: the key of each packet"),
      choice("flow", "flow: the 5-tuple"),
    ],
  },
  {
    name: "datapath",
    label: "Data path",
    help: "Who decides a session's first packet. Where the kernel cannot, the daemon does.",
    choices: [
      choice("queue", "queue: the daemon"),
      choice("kernel", "kernel: nftables, which tells the daemon"),
    ],
  },
  {
    name: "stale",
    label: "Stale entries",
    help: "When the conntrack entry goes that a roamed session left behind.",
    choices: [
      choice("on-reply", "on-reply: once a backend has answered at the new address"),
      choice("immediate", "immediate: at once"),
      choice("never", "never: it ends by itself"),
    ],
  },
  {
    name: "confirm_timeout",
    label: "Confirm timeout",
    usual: "10s",
    help: "How long to wait for that answer, 100ms to 10m; without it the old entry stays.",
  },
  {
    name: "session_ttl",
    label: "Session TTL",
    usual: "2h",
    help: "How long a silent session keeps its backend after its last conntrack entry has gone, 1s to 720h.",
  },
  {
    name: "max_sessions",
    label: "Max sessions",
    usual: "1000000",
    help: "How many sessions the daemon keeps, up to 16,000,000.",
  },
  {
    name: "drain_timeout",
    label: "Drain timeout",
    usual: "10m",
    help: "How long a draining backend keeps its sessions, 1s to 720h.",
  },
  {
    name: "snat",
    label: "Source NAT",
    help: "The source address that backends see.",
    choices: [
      choice("none", "none: the client's own"),
      choice("masquerade", "masquerade: this host's"),
    ],
  },
  {
    name: "no_backend",
    label: "No backend",
    help: "What a client gets when no backend can serve it.",
    choices: [choice("reject", "reject: ICMP port unreachable"), choice("drop", "drop: nothing")],
  },
  {
    name: "all_down",
    label: "All down",
    help: "What happens when probes say that all backends are down.",
    choices: [choice("", "as with no backend"), choice("keep", "keep: send to all of them")],
  },
  {
    name: "slots",
    label: "Slots",
    usual: "4093",
    help: "Slots of the ring: a prime up to 131,071, well above the number of backends.",
  },
  {
    name: "seed",
    label: "Seed",
    usual: "random",
    help: "Spreads the keys. A secret; random and kept where it is not given.",
  },
];

interface Props {
  draft: Draft;
  set: (part: Partial<Draft>) => void;
}

export function MoreMembers({ draft, set }: Props) {
  return (
    <div class="form-grid">
      {members.map(({ name, label, help, choices, usual }) => {
        const shared = {
          label,
          help,
          pointer: pointer(name),
          value: draft.plain[name],
          onValue: (value: string) => {
            set({ plain: { ...draft.plain, [name]: value } });
          },
        };
        return choices === undefined ? (
          <TextField key={name} {...shared} placeholder={usual ?? ""} />
        ) : (
          <SelectField key={name} {...shared} choices={choices} />
        );
      })}
      <TextField
        label="Unreplied timeout"
        pointer="/timeouts/unreplied"
        value={draft.unreplied}
        onValue={(unreplied) => {
          set({ unreplied });
        }}
        help="conntrack's timeout for this service's flows before the first reply, in whole seconds. Both or none."
      />
      <TextField
        label="Replied timeout"
        pointer="/timeouts/replied"
        value={draft.replied}
        onValue={(replied) => {
          set({ replied });
        }}
        help="The same after the first reply."
      />
      <TextField
        label="Allow"
        pointer="/allow"
        lines={3}
        mono
        value={draft.allow}
        onValue={(allow) => {
          set({ allow });
        }}
        help="Sources that are served, a prefix a line; empty is all."
      />
      <TextField
        label="Deny"
        pointer="/deny"
        lines={3}
        mono
        value={draft.deny}
        onValue={(deny) => {
          set({ deny });
        }}
        help="Sources that are not served, whatever Allow says."
      />
    </div>
  );
}

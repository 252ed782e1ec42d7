// A service as it is being typed, and what is sent of it.
import type { Probe, Service } from "../../api/types.ts";
import {
  given,
  keyDraft,
  keyOf,
  noVariant,
  numberOf,
  textOf,
  type KeyDraft,
} from "../../lib/key.ts";

export interface ListenDraft {
  address: string;
  port: string;
}

export interface BackendDraft {
  name: string;
  addresses: string;
  port: string;
  weight: string;
}

/** The members that are one text each, by their names in the API. */
export const plainMembers = [
  "pinning",
  "datapath",
  "slots",
  "seed",
  "session_ttl",
  "max_sessions",
  "stale",
  "confirm_timeout",
  "snat",
  "no_backend",
  "all_down",
  "drain_timeout",
] as const;

export type PlainMember = (typeof plainMembers)[number];

export interface Draft {
  name: string;
  listen: ListenDraft[];
  key: KeyDraft;
  plain: Record<PlainMember, string>;
  allow: string;
  deny: string;
  unreplied: string;
  replied: string;
  health: Record<string, string>; // by probe member; kind is "none" or one of Probe's
  backends: BackendDraft[];
}

export const noBackend: BackendDraft = { name: "", addresses: "", port: "", weight: "1" };

const numbers: readonly string[] = ["slots", "seed", "max_sessions"];

export function newDraft(): Draft {
  return {
    name: "",
    listen: [{ address: "", port: "" }],
    key: { several: false, variants: [noVariant], fallback: "source" },
    plain: {
      pinning: "auto",
      datapath: "queue",
      slots: "",
      seed: "",
      session_ttl: "",
      max_sessions: "",
      stale: "on-reply",
      confirm_timeout: "",
      snat: "none",
      no_backend: "reject",
      all_down: "",
      drain_timeout: "",
    },
    allow: "",
    deny: "",
    unreplied: "",
    replied: "",
    health: { kind: "none" },
    backends: [{ ...noBackend, name: "a" }],
  };
}

export function draftOf(service: Service): Draft {
  const plain = Object.fromEntries(
    plainMembers.map((name) => [name, String(service[name] ?? "")]),
  ) as Record<PlainMember, string>;
  return {
    name: service.name,
    listen: service.listen.map((l) => ({ address: l.address, port: String(l.port) })),
    key: keyDraft(service.key),
    plain,
    allow: (service.allow ?? []).join("\n"),
    deny: (service.deny ?? []).join("\n"),
    unreplied: service.timeouts?.unreplied ?? "",
    replied: service.timeouts?.replied ?? "",
    health: healthDraft(service.health),
    backends: [],
  };
}

/** Splits at white space and commas. */
export function words(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}

/** What is sent, backends left out. What is wrong in it the server tells. */
export function serviceOf(draft: Draft): Record<string, unknown> {
  const plain = Object.entries(draft.plain).map(([name, text]) => [
    name,
    numbers.includes(name) ? numberOf(text) : name === "all_down" ? text : textOf(text),
  ]);
  const timed = draft.unreplied.trim() !== "" || draft.replied.trim() !== "";
  return given({
    name: draft.name.trim(),
    listen: draft.listen.map((l) => given({ address: l.address.trim(), port: numberOf(l.port) })),
    key: keyOf(draft.key),
    ...(Object.fromEntries(plain) as Record<string, unknown>),
    allow: listOf(draft.allow),
    deny: listOf(draft.deny),
    timeouts: timed
      ? given({ unreplied: textOf(draft.unreplied), replied: textOf(draft.replied) })
      : undefined,
    health: healthOf(draft.health),
  });
}

function listOf(text: string): string[] | undefined {
  const list = words(text);
  return list.length === 0 ? undefined : list;
}

export function backendOf(draft: BackendDraft): Record<string, unknown> {
  const addresses = words(draft.addresses);
  return given({
    name: draft.name.trim(),
    addresses,
    port: numberOf(draft.port),
    weight: numberOf(draft.weight),
  });
}

/** The members of a probe that are inside another, by a name of the draft. */
const nested: Record<string, [string, string]> = {
  bytes: ["expect", "bytes"],
  prefix: ["expect", "prefix"],
  match: ["expect", "match"],
  status: ["expect", "status"],
  verify: ["tls", "verify"],
  ca: ["tls", "ca"],
};

const probeNumbers = ["rise", "fall", "port"];

function healthDraft(health: "none" | Probe): Record<string, string> {
  if (health === "none") {
    return { kind: "none" };
  }
  const draft: Record<string, string> = {};
  for (const [name, value] of Object.entries(health)) {
    if (name === "expect" || name === "tls") {
      for (const [inner, of] of Object.entries(value as Record<string, unknown>)) {
        draft[inner] = typeof of === "string" ? of : JSON.stringify(of);
      }
    } else if (name === "source" || name === "sources") {
      draft["sources"] = [value as string | string[]].flat().join(", ");
    } else {
      draft[name] = typeof value === "string" ? value : JSON.stringify(value);
    }
  }
  return draft;
}

function healthOf(draft: Record<string, string>): unknown {
  if (draft["kind"] === "none") {
    return "none";
  }
  const probe: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(draft)) {
    if (text.trim() === "") {
      continue;
    }
    const [outer, inner] = nested[name] ?? [name, ""];
    if (inner !== "") {
      const value = name === "verify" ? text === "true" : text;
      probe[outer] = { ...(probe[outer] as object | undefined), [inner]: value };
    } else if (name === "sources") {
      probe[name] = words(text);
    } else {
      probe[name] = probeNumbers.includes(name) ? numberOf(text) : text;
    }
  }
  return probe;
}

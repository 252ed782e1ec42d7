// What must not be missed, told from figures, events and readiness.
import type { Happening, Health, Stats } from "../api/types.ts";

export type AlarmName =
  "starting" | "degraded" | "drift" | "overflow" | "no-backend" | "table-full" | "missed";

export interface Alarm {
  name: AlarmName;
  bad: boolean; // or else only a warning
  title: string;
  text: string;
  /** The services that it is about. */
  services: string[];
}

/** How long an alarm about something that happened stays, in milliseconds. */
export const lasting = 5 * 60_000;

/** The kinds of events that alarms are made of. */
export const alarming = ["drift", "repaired", "overflow", "table-full", "evicted"];

/** Counters that should not rise, and how much they have lately. */
export interface Rises {
  lost: number; // facts, events and copies that found no room, and the kernel's drops
  nobody: number; // packets that no backend could serve
  missed: number; // packets that went on without the daemon
}

export function counted(stats: Stats): Rises {
  const rises: Rises = {
    lost: stats.lost_facts + stats.lost_events + stats.kernel_drops + stats.lost_copies,
    nobody: 0,
    missed: 0,
  };
  for (const queue of stats.queues) {
    rises.nobody += queue.nobody;
    rises.missed += queue.missed + queue.keeper_answers;
  }
  return rises;
}

export interface Signs {
  stats: Stats | null;
  rises: Rises;
  readiness: Health | null;
  events: readonly Happening[];
  now: number;
}

/** The alarms that are on now, the worst first. */
export function alarmsOf(signs: Signs): Alarm[] {
  return [
    ...ofReadiness(signs.readiness),
    ...ofDrift(signs),
    ...ofBackends(signs.stats, signs.rises),
    ...ofTables(signs),
    ...ofOverflow(signs),
    ...ofMissed(signs.rises),
  ].sort((a, b) => Number(b.bad) - Number(a.bad));
}

function ofReadiness(readiness: Health | null): Alarm[] {
  if (readiness === null || readiness.status === "ok") {
    return [];
  }
  const text = readiness.reasons.join("; ");
  return readiness.status === "starting"
    ? [{ name: "starting", bad: false, title: "The daemon is starting", text, services: [] }]
    : [{ name: "degraded", bad: true, title: "Degraded: not as configured", text, services: [] }];
}

/** Drift is mended at once, and nobody would see it: it is told for a while. */
function ofDrift({ events, now }: Signs): Alarm[] {
  const all = events.filter((e) => e.kind === "drift" || e.kind === "repaired");
  const drift = all.filter((e) => e.kind === "drift").at(-1);
  const text = drift?.detail ?? "Somebody else has changed roamlb's nftables table.";
  if (drift === undefined || all.at(-1) !== drift) {
    return drift === undefined || recentOf([drift], now, ["drift"]).length === 0
      ? []
      : [{ name: "drift", bad: false, title: "Drift, repaired", text, services: [] }];
  }
  return [
    {
      name: "drift",
      bad: true,
      title: "Drift: the table in the kernel is not ours",
      text,
      services: [],
    },
  ];
}

function ofBackends(stats: Stats | null, rises: Rises): Alarm[] {
  const services = (stats?.services ?? [])
    .filter((s) => !s.backends.some((b) => b.state === "up" && b.weight > 0))
    .map((s) => s.name);
  if (services.length > 0) {
    const text = "No backend takes new sessions: none is up with a weight above 0.";
    return [{ name: "no-backend", bad: true, title: "No backend", text, services }];
  }
  if (rises.nobody > 0) {
    const text = "Packets came that no backend could serve.";
    return [
      { name: "no-backend", bad: true, title: "No backend for some packets", text, services },
    ];
  }
  return [];
}

function ofTables({ events, now }: Signs): Alarm[] {
  const recent = recentOf(events, now, ["table-full", "evicted"]);
  if (recent.length === 0) {
    return [];
  }
  const full = recent.some((e) => e.kind === "table-full");
  return [
    {
      name: "table-full",
      bad: full,
      title: full ? "A sessions table is full" : "Sessions had to go",
      text: full
        ? "The kernel decides without recording: raise max_sessions, or find who floods."
        : "A service is at its max_sessions: the oldest sessions make room.",
      services: servicesOf(recent),
    },
  ];
}

function ofOverflow({ events, now, rises }: Signs): Alarm[] {
  const recent = recentOf(events, now, ["overflow"]);
  if (recent.length === 0 && rises.lost === 0) {
    return [];
  }
  const text =
    "The kernel reported more than could be read; the reconciler looks for what was missed.";
  return [{ name: "overflow", bad: false, title: "Overflow", text, services: servicesOf(recent) }];
}

function ofMissed(rises: Rises): Alarm[] {
  if (rises.missed === 0) {
    return [];
  }
  const text =
    "First packets went on undecided: a queue was full, or the daemon was too slow. The kernel balanced them by itself.";
  return [
    { name: "missed", bad: false, title: "Packets went on without the daemon", text, services: [] },
  ];
}

function recentOf(
  events: readonly Happening[],
  now: number,
  kinds: readonly string[],
): Happening[] {
  return events.filter((e) => kinds.includes(e.kind) && now - new Date(e.time).getTime() < lasting);
}

function servicesOf(events: readonly Happening[]): string[] {
  return [...new Set(events.flatMap((e) => (e.service === undefined ? [] : [e.service])))];
}

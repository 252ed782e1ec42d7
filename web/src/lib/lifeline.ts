// A session's life as a list of steps.
import type { Happening, Session } from "../api/types.ts";
import { duration } from "./format.ts";

export interface LifeStep {
  id: string;
  kind: string;
  time: string;
  title: string;
  detail: string;
  from?: string;
  to?: string;
}

/** Its steps from the first sight to now, the newest first. */
export function lifeOf(session: Session | null, events: readonly Happening[]): LifeStep[] {
  const steps = events.map(stepOf);
  if (session?.first_seen !== undefined) {
    steps.unshift({
      id: "first",
      kind: "first-seen",
      time: session.first_seen,
      title: "First seen",
      detail: "Its first packet was decided.",
    });
  }
  if (session !== null) {
    steps.push({
      id: "now",
      kind: "now",
      time: session.last_seen,
      title: `On backend ${session.backend ?? "none"}`,
      detail: session.live
        ? "Its flow has a conntrack entry; packets go there without the daemon."
        : "It is silent: its conntrack entry has gone, its backend is kept.",
      ...(session.client === undefined ? {} : { to: session.client }),
    });
  }
  return steps.reverse();
}

const titles: Record<string, string> = {
  roam: "Roamed",
  "stale-deleted": "Old entry deleted",
  takeover: "Its address carries another session now",
  shared: "Spoken by two clients in turns",
  unshared: "One client again",
  contested: "Sent by many clients that nobody answers",
  audit: "Changed by hand",
};

const deeds: Record<string, string> = { place: "Placed by hand", forget: "Forgotten by hand" };

const reasons: Record<string, string> = {
  replied: "the backend answered at the new address",
  "never-replied": "it had never been answered",
  immediate: "at once, as configured",
  reconciled: "found by comparison with the kernel's table",
  placed: "it was placed elsewhere",
  "backend-removed": "its backend was removed",
};

function stepOf(e: Happening): LifeStep {
  const backend = e.backend === undefined ? "" : `backend ${e.backend}`;
  const title =
    (e.kind === "audit" ? deeds[e.reason ?? ""] : undefined) ?? titles[e.kind] ?? e.kind;
  const details: Partial<Record<string, string>> = {
    roam: `It stays on ${backend}.`,
    "stale-deleted": [
      e.reason === undefined ? "" : (reasons[e.reason] ?? e.reason),
      e.delay === undefined ? "" : `${duration(e.delay)} later`,
      e.age === undefined ? "" : `the entry was ${duration(e.age)} old`,
    ]
      .filter((word) => word !== "")
      .join(", "),
    audit: [
      e.actor === undefined ? "" : `by ${e.actor}`,
      backend === "" ? "" : `on ${backend}`,
    ].join(" "),
  };
  return {
    id: e.id,
    kind: e.reason === "place" ? "placed" : e.kind,
    time: e.time,
    title,
    detail: details[e.kind] ?? e.detail ?? e.reason ?? backend,
    ...(e.old_client === undefined ? {} : { from: e.old_client }),
    ...(e.new_client === undefined ? {} : { to: e.new_client }),
  };
}

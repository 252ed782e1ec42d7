// Which events a log shows.
import type { Happening } from "../api/types.ts";

export interface EventFilter {
  service: string; // empty: all
  kinds: ReadonlySet<string>; // empty: all
  text: string;
}

export function wanted(filter: EventFilter, e: Happening): boolean {
  return (
    (filter.service === "" || e.service === filter.service) &&
    (filter.kinds.size === 0 || filter.kinds.has(e.kind)) &&
    (filter.text === "" || textOf(e).includes(filter.text.toLowerCase()))
  );
}

/** All that is said in an event, for searching. */
function textOf(e: Happening): string {
  const { session, kind, service, old_client, new_client, backend, reason, detail, actor, from } =
    e;
  return [
    kind,
    service,
    session?.key,
    session?.key_hash,
    old_client,
    new_client,
    backend,
    reason,
    detail,
    actor,
    from,
  ]
    .filter((word) => word !== undefined)
    .join(" ")
    .toLowerCase();
}

/** How bad it is when it happens. */
export function lookOf(kind: string): "" | "good" | "warn" | "bad" | "accent" {
  switch (kind) {
    case "drift":
    case "degraded":
    case "table-full":
      return "bad";
    case "overflow":
    case "evicted":
    case "missed":
    case "keeper":
    case "takeover":
    case "contested":
    case "reset":
      return "warn";
    case "roam":
      return "accent";
    case "repaired":
      return "good";
    default:
      return "";
  }
}

/** The kinds that there are; others may come. */
export const kinds = [
  "roam",
  "stale-deleted",
  "takeover",
  "shared",
  "unshared",
  "contested",
  "backend-state",
  "config-changed",
  "audit",
  "drift",
  "repaired",
  "overflow",
  "table-full",
  "evicted",
  "degraded",
  "keeper",
];

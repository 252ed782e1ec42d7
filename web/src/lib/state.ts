// How a service does, told from its backends.
import type { ServiceStats } from "../api/types.ts";

export interface State {
  level: "ok" | "warn" | "bad";
  text: string;
}

type Backends = Pick<ServiceStats, "backends">;

export function stateOf({ backends }: Backends): State {
  if (backends.length === 0) {
    return { level: "bad", text: "no backends" };
  }
  const taking = backends.filter((b) => b.state === "up" && b.weight > 0).length;
  if (taking === 0) {
    return { level: "bad", text: "no backend takes new sessions" };
  }
  const down = backends.filter((b) => b.state === "down").length;
  const draining = backends.filter((b) => b.state === "drain").length;
  const words = [];
  if (down > 0) {
    words.push(`${down} down`);
  }
  if (draining > 0) {
    words.push(`${draining} draining`);
  }
  return words.length === 0
    ? { level: "ok", text: "all up" }
    : { level: "warn", text: `${words.join(", ")} of ${backends.length}` };
}

const severity = { bad: 0, warn: 1, ok: 2 };

/** Services in the order that an operator looks at them: what is wrong first. */
export function worstFirst<T extends Backends & { name: string }>(services: readonly T[]): T[] {
  return services
    .map((service) => ({ service, rank: severity[stateOf(service).level] }))
    .sort((a, b) => a.rank - b.rank || (a.service.name < b.service.name ? -1 : 1))
    .map(({ service }) => service);
}

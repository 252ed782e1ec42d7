// How much a second, from two looks at counters.
import type { ServiceStats, Stats } from "../api/types.ts";

export interface Rates {
  flows: number;
  packets: number;
  roams: number;
  deletions: number;
}

export const still: Rates = { flows: 0, packets: 0, roams: 0, deletions: 0 };

/** What is counted of one service. */
export function countsOf(service: ServiceStats): Rates {
  return {
    flows: sum(service.backends, (b) => b.packets),
    packets: 0,
    roams: service.roams,
    deletions: service.deleted,
  };
}

/** What is counted of all. */
export function totalOf(stats: Stats): Rates {
  // With datapath kernel the daemon sees copies.
  const total = { ...still, packets: sum(stats.queues, (q) => q.packets) + stats.copies };
  for (const service of stats.services) {
    const counts = countsOf(service);
    total.flows += counts.flows;
    total.roams += counts.roams;
    total.deletions += counts.deletions;
  }
  return total;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((n, item) => n + of(item), 0);
}

/** A look at the counters. */
export interface Look {
  at: number; // in milliseconds
  started: string; // the daemon's run
  total: Rates;
  services: Map<string, Rates>;
}

export function lookAt(stats: Stats, at: number): Look {
  return {
    at,
    started: stats.started,
    total: totalOf(stats),
    services: new Map(stats.services.map((s) => [s.name, countsOf(s)])),
  };
}

/**
 * The rates between two looks; null where they cannot be told: they are of two runs
 * of the daemon, or of one moment. A counter that fell (its backend has gone) is 0.
 */
export function ratesOf(before: Look, after: Look): Rates | null {
  const seconds = (after.at - before.at) / 1000;
  if (before.started !== after.started || seconds <= 0) {
    return null;
  }
  return between(before.total, after.total, seconds);
}

/** The same of one service. */
export function serviceRates(before: Look | null, after: Look, name: string): Rates {
  const [then, now] = [before?.services.get(name), after.services.get(name)];
  const seconds = (after.at - (before?.at ?? after.at)) / 1000;
  if (
    then === undefined ||
    now === undefined ||
    seconds <= 0 ||
    before?.started !== after.started
  ) {
    return still;
  }
  return between(then, now, seconds);
}

function between(before: Rates, after: Rates, seconds: number): Rates {
  const of = (name: keyof Rates) => Math.max(0, after[name] - before[name]) / seconds;
  return {
    flows: of("flows"),
    packets: of("packets"),
    roams: of("roams"),
    deletions: of("deletions"),
  };
}

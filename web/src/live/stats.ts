// Figures, looked at about once a second.
import { api, ask } from "../api/client.ts";
import type { Stats } from "../api/types.ts";
import { pause } from "./connection.ts";
import { lookAt, ratesOf, type Look, type Rates } from "./rates.ts";
import { Ring } from "./ring.ts";
import { Store } from "./store.ts";

export interface Point extends Rates {
  at: number; // in seconds
}

export interface Live {
  stats: Stats;
  look: Look;
  before: Look | null; // some seconds earlier, of the same run of the daemon
  rates: Rates | null;
}

/** The last figures; null before the first. */
export const live = new Store<Live | null>(null);

/** The rates of the last five minutes. It changes in place, with live. */
export const history = new Ring<Point>(300);

/** Rates are of a few seconds: over a single one they would jump. */
const looks = new Ring<Look>(4);

const every = 1_000;

/** Looks until the signal comes. Where a look takes long, they are fewer. */
export async function followStats(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const begun = performance.now();
    const answer = await ask(api.GET("/v1/stats", { signal }));
    if (answer.ok) {
      take(answer.data, Date.now());
    }
    const took = performance.now() - begun;
    await pause(Math.max(every - took, 10 * took, 200), signal);
  }
}

function take(stats: Stats, at: number): void {
  const look = lookAt(stats, at);
  if (looks.list().at(-1)?.started !== look.started) {
    looks.clear(); // another run of the daemon counts from 0
  }
  const before = looks.list()[0] ?? null;
  looks.add(look);
  const rates = before === null ? null : ratesOf(before, look);
  if (rates !== null) {
    history.add({ at: at / 1000, ...rates });
  }
  live.set({ stats, look, before, rates });
}

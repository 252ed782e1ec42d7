// Watches for alarms.
import { pastEvents } from "../api/past.ts";
import type { Happening } from "../api/types.ts";
import { same } from "../lib/patch.ts";
import { alarming, alarmsOf, counted, type Alarm, type Rises } from "./alarms.ts";
import { pause } from "./connection.ts";
import { onEvent } from "./events.ts";
import { readiness } from "./readiness.ts";
import { Ring } from "./ring.ts";
import { live } from "./stats.ts";
import { Store } from "./store.ts";

export const alarms = new Store<Alarm[]>([]);

/** Those that alarms can be made of, from before the page was opened too. */
const signs = new Ring<Happening>(500);

/** What was counted a minute ago, and since. */
const counts = new Ring<{ at: number; started: string; rises: Rises }>(60);

export async function watch(signal: AbortSignal): Promise<void> {
  const stops = [
    onEvent((e) => {
      if (alarming.includes(e.kind)) {
        signs.add(e);
        look();
      }
    }),
    live.subscribe(count),
    readiness.subscribe(look),
  ];
  await pastEvents({ kind: alarming }, signal, (past) => {
    for (const event of past) {
      signs.add(event);
    }
  });
  while (!signal.aborted) {
    look();
    await pause(5_000, signal);
  }
  for (const stop of stops) {
    stop();
  }
}

function count(): void {
  const now = live.value;
  if (now !== null) {
    counts.add({ at: now.look.at, started: now.stats.started, rises: counted(now.stats) });
    look();
  }
}

function look(): void {
  const now = Date.now();
  const next = alarmsOf({
    stats: live.value?.stats ?? null,
    rises: rises(now),
    readiness: readiness.value,
    events: signs.list(),
    now,
  });
  if (!same(next, alarms.value)) {
    alarms.set(next);
  }
}

/** How much the counters have risen within a minute. */
function rises(now: number): Rises {
  const started = live.value?.stats.started;
  const recent = counts.list().filter((c) => c.started === started && now - c.at < 60_000);
  const [first, last] = [recent[0], recent.at(-1)];
  if (first === undefined || last === undefined) {
    return { lost: 0, nobody: 0, missed: 0 };
  }
  const of = (name: keyof Rises) => last.rises[name] - first.rises[name];
  return { lost: of("lost"), nobody: of("nobody"), missed: of("missed") };
}

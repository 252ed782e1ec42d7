// All that the page follows while somebody is signed in.
import { followEvents } from "./events.ts";
import { followReadiness } from "./readiness.ts";
import { followStats } from "./stats.ts";
import { watch } from "./watch.ts";

/** Follows until the function that it returns is called. */
export function follow(): () => void {
  const end = new AbortController();
  for (const task of [followEvents, followStats, followReadiness, watch]) {
    void task(end.signal);
  }
  return () => {
    end.abort();
  };
}

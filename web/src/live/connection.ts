// Whether the page hears of what happens.
import { Store } from "./store.ts";

/** starting: the daemon answers, but does not balance yet. */
export type Connection = "connecting" | "live" | "reconnecting" | "starting";

export const connection = new Store<Connection>("connecting");

/**
 * Counts what makes shown configuration old: a change by anybody, and each time
 * that the daemon is there again.
 */
export const configVersion = new Store(0);

export function touchConfig(): void {
  configVersion.set(configVersion.value + 1);
}

/** Waits; a page that is hidden waits longer, so as to cost nothing. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, document.hidden ? Math.max(ms, 5_000) : ms);
    signal.addEventListener("abort", done);
  });
}

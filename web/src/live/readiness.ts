// Whether packets are balanced, as /readyz tells.
import { api } from "../api/client.ts";
import type { Health } from "../api/types.ts";
import { connection, pause } from "./connection.ts";
import { Store } from "./store.ts";

/** The last that was told; null before the first. */
export const readiness = new Store<Health | null>(null);

export async function followReadiness(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await look(signal);
    await pause(connection.value === "live" ? 5_000 : 1_000, signal);
  }
}

async function look(signal: AbortSignal): Promise<void> {
  try {
    const { data, error } = await api.GET("/readyz", { signal });
    // Not ready is an answer like the other: a Health with the status 503.
    const told = data ?? error;
    if ("reasons" in told) {
      readiness.set(told);
    }
  } catch {
    // The daemon is away: the connection says so.
  }
}

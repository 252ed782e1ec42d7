// Events from before: what the daemon's log still holds.
import { api, ask, type Answer } from "./client.ts";
import type { EventList, Happening } from "./types.ts";

interface Query {
  kind?: string[];
  service?: string;
  session?: string;
}

/** Hands take the events that the log holds, a page at a time, the oldest first. */
export async function pastEvents(
  query: Query,
  signal: AbortSignal,
  take: (events: readonly Happening[]) => void,
): Promise<void> {
  let cursor: string | undefined;
  do {
    const page = { ...query, limit: 1000, ...(cursor === undefined ? {} : { cursor }) };
    const call = ask(api.GET("/v1/events", { params: { query: page }, signal }));
    // Asked without a stream in mind, it answers with a list.
    const answer = (await call) as Answer<EventList>;
    if (!answer.ok || signal.aborted) {
      return;
    }
    take(answer.data.items);
    cursor = answer.data.next;
  } while (cursor !== undefined);
}

// What happens, as it happens.
import { who } from "../api/identity.ts";
import type { Happening } from "../api/types.ts";
import { connection, pause, touchConfig } from "./connection.ts";
import { Ring } from "./ring.ts";
import { Store } from "./store.ts";
import { Messages, type Message } from "./stream.ts";

/** The last events. It changes in place; eventsVersion says when. */
export const events = new Ring<Happening>(2_000);
export const eventsVersion = new Store(0);

type Listener = (happening: Happening) => void;
const listeners = new Set<Listener>();

/** Calls fn with each event that comes, until the function that it returns is called. */
export function onEvent(fn: Listener): () => void {
  listeners.add(fn);
  return () => {
    listeners.delete(fn);
  };
}

// How long a stream may say nothing: it has a pulse of 15 seconds.
const silence = 40_000;
const patience = [200, 500, 1_000, 1_000, 2_000];

let lastID = "";

/** Follows the events, and comes back after whatever ends the stream. */
export async function followEvents(signal: AbortSignal): Promise<void> {
  for (let tries = 0; !signal.aborted; tries++) {
    const opened = await follow(signal);
    tries = opened ? 0 : tries;
    if (!isOver(signal)) {
      connection.set("reconnecting");
    }
    await pause(patience[Math.min(tries, patience.length - 1)] ?? 2_000, signal);
  }
}

/** A function, since it changes while something is waited for. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Reads one stream to its end, and reports whether there was one. */
async function follow(signal: AbortSignal): Promise<boolean> {
  const silent = new AbortController();
  let alarm = setTimeout(() => undefined, 0);
  const awake = () => {
    clearTimeout(alarm);
    alarm = setTimeout(() => {
      silent.abort();
    }, silence);
  };
  let opened = false;
  try {
    awake();
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (lastID !== "") {
      headers["Last-Event-ID"] = lastID;
    }
    const answer = await fetch("/v1/events", {
      headers,
      signal: AbortSignal.any([signal, silent.signal]),
    });
    if (answer.status === 401) {
      who.set("nobody");
    }
    if (!answer.ok || answer.body === null) {
      return false;
    }
    opened = true;
    connection.set("live");
    touchConfig();
    await read(answer.body, awake);
  } catch {
    // It ended: the caller comes back.
  } finally {
    clearTimeout(alarm);
  }
  return opened;
}

async function read(body: ReadableStream<Uint8Array>, awake: () => void): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const messages = new Messages();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    awake();
    for (const message of messages.add(decoder.decode(value, { stream: true }))) {
      take(message);
    }
  }
}

function take(message: Message): void {
  if (message.id !== "") {
    lastID = message.id;
  }
  const happening = happeningOf(message);
  if (happening === null) {
    return;
  }
  events.add(happening);
  for (const listen of listeners) {
    listen(happening);
  }
  if (happening.kind === "config-changed" || happening.kind === "backend-state") {
    soonTouchConfig();
  }
  announce();
}

/** The event of a message; what the stream says of itself is one too. */
function happeningOf(message: Message): Happening | null {
  try {
    const data = JSON.parse(message.data) as Partial<Happening>;
    return {
      ...data,
      id: data.id ?? `${message.event} ${Date.now()}`,
      kind: data.kind ?? message.event,
      time: data.time ?? new Date().toISOString(),
    };
  } catch {
    return null;
  }
}

let touching = 0;

/** Many changes at once are one reason to read again. */
function soonTouchConfig(): void {
  touching ||= window.setTimeout(() => {
    touching = 0;
    touchConfig();
  }, 100);
}

let announcing = 0;

/** Has the page drawn four times a second at the most, however much happens. */
function announce(): void {
  announcing ||= window.setTimeout(() => {
    announcing = 0;
    eventsVersion.set(eventsVersion.value + 1);
  }, 250);
}

// What has happened to one session, and what happens to it.
import { useEffect, useState } from "preact/hooks";
import { pastEvents } from "../../api/past.ts";
import type { Happening } from "../../api/types.ts";
import { configVersion } from "../../live/connection.ts";
import { onEvent } from "../../live/events.ts";
import { useStore } from "../../live/store.ts";

export interface Life {
  events: Happening[]; // the oldest first
  missing: boolean; // there were more than are kept
}

const kept = 500;

/** The events of a session, from the daemon's log and then as they come. */
export function useLife(service: string, name: string): Life {
  const [life, setLife] = useState<Life>({ events: [], missing: false });
  const version = useStore(configVersion);
  useEffect(() => {
    const end = new AbortController();
    const add = (more: readonly Happening[]) => {
      setLife((now) => {
        const ids = new Set(now.events.map((e) => e.id));
        const events = [...now.events, ...more.filter((e) => !ids.has(e.id))];
        events.sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
        return { events: events.slice(-kept), missing: now.missing || events.length > kept };
      });
    };
    const stop = onEvent((e) => {
      if (e.service === service && (e.session?.key ?? e.session?.key_hash) === name) {
        add([e]);
      }
    });
    void pastEvents({ service, session: name }, end.signal, add);
    return () => {
      stop();
      end.abort();
    };
  }, [service, name, version]);
  return life;
}

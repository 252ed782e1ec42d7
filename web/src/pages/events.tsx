// What has happened, as a log.
import { useEffect, useMemo, useState } from "preact/hooks";
import { pastEvents } from "../api/past.ts";
import type { Happening } from "../api/types.ts";
import { kinds, wanted, type EventFilter } from "../lib/eventfilter.ts";
import { events, eventsVersion } from "../live/events.ts";
import { useNames } from "../live/names.ts";
import { Ring } from "../live/ring.ts";
import { useStore } from "../live/store.ts";
import { EventTable } from "../parts/eventtable.tsx";
import { SelectField, TextField } from "../parts/fields.tsx";
import { Heading } from "../parts/heading.tsx";

const kept = 2_000;

/** The last events from before the page was opened. */
function useBefore(): readonly Happening[] {
  const [before, setBefore] = useState<readonly Happening[]>([]);
  useEffect(() => {
    const end = new AbortController();
    const last = new Ring<Happening>(kept);
    const take = (past: readonly Happening[]) => {
      for (const e of past) {
        last.add(e);
      }
    };
    void pastEvents({}, end.signal, take).then(() => {
      if (!end.signal.aborted) {
        setBefore(last.list());
      }
    });
    return () => {
      end.abort();
    };
  }, []);
  return before;
}

/** All that is known, the newest first; it stands still while it is paused. */
function useLog(paused: boolean): readonly Happening[] {
  const before = useBefore();
  const version = useStore(eventsVersion);
  const [shown, setShown] = useState<readonly Happening[]>([]);
  useEffect(() => {
    if (!paused) {
      const now = events.list();
      const ids = new Set(now.map((e) => e.id));
      setShown([...before.filter((e) => !ids.has(e.id)), ...now].slice(-kept).reverse());
    }
  }, [before, version, paused]);
  return shown;
}

export function Events({ query }: { query: Map<string, string> }) {
  const [paused, setPaused] = useState(false);
  const [filter, setFilter] = useState<EventFilter>(() => ({
    service: query.get("service") ?? "",
    kinds: new Set(query.has("kind") ? [query.get("kind") ?? ""] : []),
    text: query.get("text") ?? "",
  }));
  const log = useLog(paused);
  const names = useNames();
  const found = useMemo(() => log.filter((e) => wanted(filter, e)), [log, filter]);
  const services = names.map((n) => ({ value: n.service, label: n.service }));
  const toggle = (kind: string) => {
    const next = new Set(filter.kinds);
    if (!next.delete(kind)) {
      next.add(kind);
    }
    setFilter({ ...filter, kinds: next });
  };
  return (
    <>
      <Heading
        title="Events"
        lead="Roams, deletions, changes, drift, as they happen. The last two thousand are kept here."
      >
        <button
          type="button"
          onClick={() => {
            setPaused(!paused);
          }}
        >
          {paused ? "Resume" : "Pause"}
        </button>
      </Heading>
      <section class="card" aria-label="Filters">
        <div class="form-row">
          <SelectField
            label="Service"
            value={filter.service}
            choices={[{ value: "", label: "all" }, ...services]}
            onValue={(service) => {
              setFilter({ ...filter, service });
            }}
          />
          <TextField
            class="wide"
            label="Filter text"
            type="search"
            placeholder="A key, a client, a backend, who…"
            value={filter.text}
            onValue={(text) => {
              setFilter({ ...filter, text });
            }}
          />
        </div>
        <fieldset class="kinds">
          <legend>Kinds</legend>
          {kinds.map((kind) => (
            <label key={kind} class="kind">
              <input
                type="checkbox"
                checked={filter.kinds.has(kind)}
                onChange={() => {
                  toggle(kind);
                }}
              />
              {kind}
            </label>
          ))}
        </fieldset>
      </section>
      <EventTable events={found} />
    </>
  );
}

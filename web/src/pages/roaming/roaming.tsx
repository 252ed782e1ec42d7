// Clients move, and their sessions stay: seen.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, ask } from "../../api/client.ts";
import type { Happening } from "../../api/types.ts";
import { count } from "../../lib/format.ts";
import { href } from "../../lib/route.ts";
import { begin, next, type Scene } from "../../lib/scene.ts";
import { onEvent } from "../../live/events.ts";
import { replace } from "../../live/location.ts";
import { useNames } from "../../live/names.ts";
import { SelectField } from "../../parts/fields.tsx";
import { Heading } from "../../parts/heading.tsx";
import { Empty } from "../../parts/states.tsx";
import { Picture } from "./picture.tsx";
import { SceneTable } from "./table.tsx";

const size = 8;
const none: Scene = { lanes: [], roams: 0, kept: 0 };

/** The sessions of a service as they move. */
function useScene(service: string, paused: boolean): Scene {
  const [scene, setScene] = useState(none);
  const stopped = useRef(paused);
  stopped.current = paused;
  useEffect(() => {
    const end = new AbortController();
    setScene(none);
    const query = { limit: 200 };
    const call = api.GET("/v1/services/{service}/sessions", {
      params: { path: { service }, query },
      signal: end.signal,
    });
    if (service !== "") {
      void ask(call).then((answer) => {
        if (answer.ok) {
          setScene((now) => (now.lanes.length > 0 ? now : begin(answer.data.items, size)));
        }
      });
    }
    // Events wait for the next of a few moments a second, however many there are.
    let waiting: Happening[] = [];
    const stop = onEvent((e) => {
      if (!stopped.current && e.service === service && waiting.length < 2_000) {
        waiting.push(e);
      }
    });
    const timer = setInterval(() => {
      const now = waiting;
      waiting = [];
      if (now.length > 0) {
        setScene((before) => now.reduce((s, e) => next(s, e, Date.now(), size), before));
      }
    }, 250);
    return () => {
      end.abort();
      stop();
      clearInterval(timer);
    };
  }, [service]);
  return scene;
}

export function Roaming({ query }: { query: Map<string, string> }) {
  const names = useNames();
  const service = query.get("service") ?? names[0]?.service ?? "";
  const backends = names.find((n) => n.service === service)?.backends ?? [];
  const [paused, setPaused] = useState(false);
  const scene = useScene(service, paused);
  return (
    <>
      <Heading
        title="Roaming"
        lead="Each line is a session. Its client, on the left, moves to other addresses. The key in its packets stays the same, so its backend, on the right, stays too."
      >
        <button
          type="button"
          onClick={() => {
            setPaused(!paused);
          }}
        >
          {paused ? "Play" : "Pause"}
        </button>
      </Heading>
      <div class="form-row roaming-head">
        <SelectField
          label="Service"
          value={service}
          choices={names.map((n) => ({ value: n.service, label: n.service }))}
          onValue={(chosen) => {
            replace(href(["roaming"], { service: chosen }));
          }}
        />
        <p class="roam-count" data-testid="roam-count" data-value={scene.roams}>
          <strong>{count(scene.roams)}</strong> {scene.roams === 1 ? "roam" : "roams"} since you
          came; <strong>{scene.kept === scene.roams ? "all" : count(scene.kept)}</strong> kept their
          backend
        </p>
      </div>
      {scene.lanes.length === 0 ? (
        <Empty title="Nobody is here yet">
          <p>With the first packets to this service its sessions appear.</p>
        </Empty>
      ) : (
        <>
          <Picture scene={scene} backends={backends} paused={paused} />
          <p class="help">
            A dashed circle is where a client was. The cross comes when roamlb has deleted the
            conntrack entry that stayed behind there, so that whoever gets that address next is not
            sent astray.
          </p>
          <SceneTable service={service} scene={scene} />
        </>
      )}
    </>
  );
}

// What would happen to a packet, and why.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, ask } from "../../api/client.ts";
import type { Explanation, Problem } from "../../api/types.ts";
import { parseHex } from "../../lib/hex.ts";
import { href, parseRoute } from "../../lib/route.ts";
import { listenersOf } from "../../lib/listeners.ts";
import { replace } from "../../live/location.ts";
import { useResource } from "../../live/resource.ts";
import { TextField } from "../../parts/fields.tsx";
import { Form } from "../../parts/form.tsx";
import { Heading } from "../../parts/heading.tsx";
import { Result } from "./result.tsx";

interface Asked {
  packet: string;
  form: "payload" | "ip";
  client: string;
  listener: string;
}

const fields = ["/packet", "/client", "/listener", "/form"];

/** What an address asks. */
function askedBy(query: Map<string, string>): Asked {
  return {
    packet: query.get("packet") ?? "",
    form: query.get("form") === "ip" ? "ip" : "payload",
    client: query.get("client") ?? "198.51.100.7:40000",
    listener: query.get("listener") ?? "",
  };
}

export function Explain({ query }: { query: Map<string, string> }) {
  const [asked, setAsked] = useState<Asked>(() => askedBy(query));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [result, setResult] = useState<{ explanation: Explanation; asked: Asked } | null>(null);
  const listeners = useResource("listeners", (signal) =>
    ask(api.GET("/v1/services", { params: { query: { limit: 100 } }, signal })),
  );
  const known = useMemo(() => (listeners.data?.items ?? []).flatMap(listenersOf), [listeners.data]);
  const set = (part: Partial<Asked>) => {
    setAsked({ ...asked, ...part });
  };
  const first = known[0];
  useEffect(() => {
    if (asked.listener === "" && first !== undefined) {
      set({ listener: first });
    }
  }, [first]);

  // Another address, typed or gone back to, asks anew; our own does not.
  const own = useRef(JSON.stringify([...query]));
  const text = JSON.stringify([...query]);
  useEffect(() => {
    if (text !== own.current) {
      own.current = text;
      setAsked(askedBy(query));
      setResult(null);
    }
  }, [text]);

  const explain = async () => {
    const { packet, form, client, listener } = asked;
    const places = form === "payload" ? { client: client.trim(), listener: listener.trim() } : {};
    const answer = await ask(api.POST("/v1/explain", { body: { packet, form, ...places } }));
    setProblem(answer.ok ? null : answer.problem);
    setResult(answer.ok ? { explanation: answer.data, asked } : null);
    if (answer.ok) {
      const to = href(["explain"], {
        packet: short(packet),
        form: form === "ip" ? form : "",
        ...places,
      });
      own.current = JSON.stringify([...parseRoute(to).query]);
      replace(to);
    }
  };
  const hex = parseHex(asked.packet);
  return (
    <>
      <Heading
        title="Explain"
        lead="Paste a packet and read, step by step, which backend it would go to, and why. Nothing is sent, and nothing changes."
      />
      <Form label="Explain" problem={problem} fields={fields} onSubmit={explain} class="card">
        <TextField
          label="Packet"
          pointer="/packet"
          mono
          lines={3}
          placeholder="48 8c31f2d0a4b7e915 00000001"
          value={asked.packet}
          onValue={(packet) => {
            set({ packet });
          }}
          help={hex.ok ? `Hex. ${String(hex.bytes.length)} bytes.` : `Not hex: ${hex.error}.`}
        />
        <fieldset class="radios">
          <legend>It is</legend>
          {(["payload", "ip"] as const).map((form) => (
            <label key={form}>
              <input
                type="radio"
                name="form"
                checked={asked.form === form}
                onChange={() => {
                  set({ form });
                }}
              />
              {form === "ip" ? "Whole IP packet" : "UDP payload"}
            </label>
          ))}
        </fieldset>
        {asked.form === "payload" && (
          <div class="form-row">
            <TextField
              label="Client"
              pointer="/client"
              mono
              value={asked.client}
              onValue={(client) => {
                set({ client });
              }}
              help="Where it comes from: address and port."
            />
            <TextField
              label="Listener"
              pointer="/listener"
              mono
              value={asked.listener}
              onValue={(listener) => {
                set({ listener });
              }}
              help={
                known.length === 0
                  ? "Where it is sent."
                  : `Where it is sent, such as ${known.slice(0, 4).join(", ")}.`
              }
            />
          </div>
        )}
        <button type="submit" class="primary" disabled={!hex.ok}>
          Explain
        </button>
      </Form>
      {result !== null && <Result explanation={result.explanation} {...result.asked} />}
    </>
  );
}

/** An address holds a packet as long as it is short. */
function short(packet: string): string {
  return packet.length <= 1000 ? packet.trim() : "";
}

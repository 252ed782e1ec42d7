// The steps of a decision, beside the bytes that they are about.
import { useMemo, useState } from "preact/hooks";
import type { Explanation } from "../../api/types.ts";
import type { Mark } from "../../lib/bytes.ts";
import { parseHex } from "../../lib/hex.ts";
import { payloadAt } from "../../lib/packet.ts";
import { href } from "../../lib/route.ts";
import { ByteGrid, MarkList } from "../../parts/bytes.tsx";

interface Props {
  explanation: Explanation;
  packet: string;
  form: "payload" | "ip";
}

const titles: Record<string, string> = {
  packet: "The packet",
  service: "The service",
  access: "Who may send",
  key: "The key",
  binding: "A live session?",
  ring: "The ring",
  fallback: "The fallback",
  backend: "The backend",
  pinning: "What binds it",
  verdict: "The verdict",
};

const looks: Record<Explanation["verdict"], string> = {
  balanced: "good",
  rejected: "bad",
  dropped: "bad",
  "not-ours": "warn",
};

export function Result({ explanation, packet, form }: Props) {
  const { verdict, backend, steps } = explanation;
  const [step, setStep] = useState("key");
  const bytes = useMemo(() => {
    const hex = parseHex(packet);
    return hex.ok ? hex.bytes : [];
  }, [packet]);
  const start = form === "ip" ? (payloadAt(bytes) ?? 0) : 0;
  const marks = marksOf(step, explanation, start, bytes.length);
  return (
    <section class="card explained" aria-label="What happens">
      <p
        class={`verdict ${looks[verdict]}`}
        data-testid="verdict"
        data-verdict={verdict}
        role="status"
      >
        <strong>{verdict === "not-ours" ? "not ours" : verdict}</strong>
        {backend !== undefined && (
          <>
            {" "}
            to backend <strong>{backend.name}</strong> at{" "}
            <span class="mono">{backend.address}</span> ({backend.state})
          </>
        )}
        {explanation.service !== undefined && (
          <>
            , service <a href={href(["services", explanation.service])}>{explanation.service}</a>
          </>
        )}
      </p>
      <div class="columns">
        <ol class="steps" aria-label="Steps">
          {steps.map((s, i) => (
            <li key={i} data-testid="step" data-step={s.name}>
              <button
                type="button"
                class={`step-button ${s.name === step ? "chosen" : ""}`}
                aria-pressed={s.name === step}
                onClick={() => {
                  setStep(s.name);
                }}
                onFocus={() => {
                  setStep(s.name);
                }}
                onPointerEnter={() => {
                  setStep(s.name);
                }}
              >
                <span class="step-title">{titles[s.name] ?? s.name}</span>
                <span class="step-text">{s.text}</span>
              </button>
            </li>
          ))}
        </ol>
        <div>
          <ByteGrid label="Packet bytes" bytes={bytes} marks={marks} testid="packet-bytes" />
          <MarkList marks={marks} />
        </div>
      </div>
    </section>
  );
}

const keyed = ["key", "binding", "ring", "backend", "pinning", "verdict"];

/** The bytes that a step is about. */
function marksOf(step: string, of: Explanation, start: number, length: number): Mark[] {
  const fields = of.fields.map((f, i) => ({
    offset: start + f.offset,
    length: f.length,
    tone: i,
    label: of.fields.length > 1 ? `key, field ${i + 1}` : "key",
  }));
  if (keyed.includes(step)) {
    return fields;
  }
  if (start > 0 && (step === "service" || step === "access" || step === "fallback")) {
    return [{ offset: 0, length: start, tone: 4, label: "IP and UDP headers" }];
  }
  if (step === "packet" && length > start) {
    return [{ offset: start, length: length - start, tone: 3, label: "payload" }];
  }
  return [];
}

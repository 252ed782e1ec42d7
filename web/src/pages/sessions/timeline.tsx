// A session's life, the newest on top.
import { useState } from "preact/hooks";
import type { Happening, Session } from "../../api/types.ts";
import { time } from "../../lib/format.ts";
import { lifeOf, type LifeStep } from "../../lib/lifeline.ts";

const page = 30;

interface Props {
  session: Session | null;
  events: readonly Happening[];
  missing: boolean;
}

export function Timeline({ session, events, missing }: Props) {
  const [shown, setShown] = useState(page);
  const steps = lifeOf(session, events);
  if (steps.length === 0) {
    return null;
  }
  return (
    <section class="card" aria-labelledby="life-title">
      <h2 id="life-title">Its life</h2>
      <ol class="timeline" aria-label="Timeline" reversed>
        {steps.slice(0, shown).map((step) => (
          <Step key={step.id} step={step} />
        ))}
      </ol>
      {steps.length > shown && (
        <p>
          <button
            type="button"
            onClick={() => {
              setShown(steps.length);
            }}
          >
            Show all {steps.length}
          </button>
        </p>
      )}
      {missing && <p class="help">What is older is not kept here.</p>}
    </section>
  );
}

function Step({ step }: { step: LifeStep }) {
  const { kind, from, to } = step;
  return (
    <li class={`step ${kind}`} data-testid="timeline-item" data-kind={kind}>
      <time dateTime={step.time}>{kind === "now" ? "now" : time(step.time)}</time>
      <div>
        <p class="step-title">{step.title}</p>
        {(from !== undefined || to !== undefined) && (
          <p class="mono move">
            {from !== undefined && <span class="old">{from}</span>}
            {from !== undefined && to !== undefined && <span aria-label="to"> → </span>}
            {to !== undefined && <span class="new">{to}</span>}
          </p>
        )}
        {step.detail !== "" && <p class="help">{step.detail}</p>}
      </div>
    </li>
  );
}

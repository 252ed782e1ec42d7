// Creating a service.
import { useRef, useState } from "preact/hooks";
import { api, ask, once } from "../../api/client.ts";
import type { Problem, ServiceInput } from "../../api/types.ts";
import { go } from "../../live/location.ts";
import { href } from "../../lib/route.ts";
import { plural } from "../../lib/format.ts";
import { Dialog } from "../../parts/dialog.tsx";
import { Heading } from "../../parts/heading.tsx";
import { WriteButton } from "../../parts/button.tsx";
import { backendOf, newDraft, serviceOf, type Draft } from "./draft.ts";
import { ServiceForm } from "./form.tsx";

export function NewService() {
  const [draft, setDraft] = useState<Draft>(newDraft);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const key = useRef(once());

  const create = async () => {
    setBusy(true);
    const body = { ...serviceOf(draft), backends: draft.backends.map(backendOf) };
    const answer = await ask(
      api.POST("/v1/services", {
        params: { header: key.current },
        body: body as unknown as ServiceInput, // what is wrong in it the server tells
      }),
    );
    setBusy(false);
    setAsking(false);
    key.current = once();
    if (answer.ok) {
      go(href(["services", answer.data.name]));
    } else {
      setProblem(answer.problem);
    }
  };

  return (
    <>
      <Heading title="New service" above={[["Services", href(["services"])]]} />
      <ServiceForm
        draft={draft}
        onDraft={setDraft}
        problem={problem}
        fresh
        submit="Create service"
        busy={busy}
        onSubmit={() => {
          setProblem(null);
          setAsking(true);
        }}
      />
      {asking && (
        <Dialog
          title={`Create service ${draft.name}?`}
          onClose={() => {
            setAsking(false);
          }}
          actions={
            <WriteButton class="primary" disabled={busy} onClick={create}>
              Create
            </WriteButton>
          }
        >
          <p>
            Packets to {draft.listen.map((l) => `${l.address} port ${l.port}`).join(", ")} are
            balanced over {plural(draft.backends.length, "backend")} from then on.
          </p>
          <ul>
            {draft.backends.map((b) => (
              <li key={b.name}>
                {b.name}: {b.addresses} port {b.port}, weight {b.weight}
              </li>
            ))}
          </ul>
        </Dialog>
      )}
    </>
  );
}

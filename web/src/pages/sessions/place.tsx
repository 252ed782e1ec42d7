// Puts a session on a backend by hand.
import { useState } from "preact/hooks";
import { api, ask } from "../../api/client.ts";
import type { Problem, Session } from "../../api/types.ts";
import { useNames } from "../../live/names.ts";
import { WriteButton } from "../../parts/button.tsx";
import { SelectField } from "../../parts/fields.tsx";
import { Form } from "../../parts/form.tsx";

interface Props {
  service: string;
  name: string;
  session: Session;
  onPlaced: () => void;
}

const fields = ["/backend"];

const fates = {
  none: "It was on no flow.",
  kept: "Its flow leads there already.",
  deleted: "The entry of its old flow is being deleted.",
  shared: "Other sessions are on its old flow, which stays for them.",
};

export function Place({ service, name, session, onPlaced }: Props) {
  const backends = useNames().find((n) => n.service === service)?.backends ?? [];
  const [chosen, setChosen] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [told, setTold] = useState("");
  const others = backends.filter((b) => b !== session.backend);
  const backend = others.includes(chosen) ? chosen : (others[0] ?? "");
  const place = async () => {
    const answer = await ask(
      api.PUT("/v1/services/{service}/sessions/{key}", {
        params: { path: { service, key: name } },
        body: { backend },
      }),
    );
    setProblem(answer.ok ? null : answer.problem);
    setTold(answer.ok ? `Its next packet goes to ${backend}. ${fates[answer.data.old_flow]}` : "");
    onPlaced();
  };
  if (others.length === 0) {
    return null;
  }
  return (
    <Form label="Place" problem={problem} fields={fields} onSubmit={place} class="place">
      <SelectField
        label="Backend"
        pointer="/backend"
        value={backend}
        choices={others.map((b) => ({ value: b, label: b }))}
        onValue={setChosen}
      />
      <WriteButton type="submit">Place</WriteButton>
      <p role="status" class="help">
        {told === "" ? "Binds it to another backend, whatever the ring says." : told}
      </p>
    </Form>
  );
}

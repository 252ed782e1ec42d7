// Another weight for a backend.
import { useState } from "preact/hooks";
import { ofBackend } from "../../api/faults.ts";
import type { Problem } from "../../api/types.ts";
import { numberOf } from "../../lib/key.ts";
import { WriteButton } from "../../parts/button.tsx";
import { TextField } from "../../parts/fields.tsx";
import { Form } from "../../parts/form.tsx";

interface Props {
  name: string;
  weight: number;
  problem: Problem | null;
  onClose: () => void;
  onWeight: (weight: number) => unknown;
}

const fields = ["/weight"];

export function Reweight({ name, weight, problem, onClose, onWeight }: Props) {
  const [text, setText] = useState(String(weight));
  return (
    <section class="card">
      <h2>Weight of {name}</h2>
      <Form
        label={`Weight of ${name}`}
        problem={ofBackend(problem)}
        fields={fields}
        // What is no number the server refuses, and says why.
        onSubmit={() => onWeight(numberOf(text) as number)}
      >
        <TextField
          class="narrow"
          label="Weight"
          pointer="/weight"
          type="number"
          value={text}
          onValue={setText}
          help={`Its share of the keys, relative to the others'. Now ${String(weight)}; 0 takes no new sessions.`}
        />
        <div class="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <WriteButton type="submit" class="primary">
            Preview change
          </WriteButton>
        </div>
      </Form>
    </section>
  );
}

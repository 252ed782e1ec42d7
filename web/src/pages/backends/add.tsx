// The form of a new backend.
import { useState } from "preact/hooks";
import { ofBackend } from "../../api/faults.ts";
import type { BackendInput, Problem } from "../../api/types.ts";
import { WriteButton } from "../../parts/button.tsx";
import { TextField } from "../../parts/fields.tsx";
import { Form } from "../../parts/form.tsx";
import { backendOf, noBackend } from "../service/draft.ts";

interface Props {
  problem: Problem | null;
  onClose: () => void;
  onAdd: (backend: BackendInput) => unknown;
}

const fields = ["/name", "/addresses", "/port", "/weight"];

export function AddBackend({ problem, onClose, onAdd }: Props) {
  const [draft, setDraft] = useState(noBackend);
  return (
    <section class="card">
      <h2>New backend</h2>
      <Form
        label="New backend"
        problem={ofBackend(problem)}
        fields={fields}
        onSubmit={() => onAdd(backendOf(draft) as unknown as BackendInput)}
      >
        <div class="form-row">
          <TextField
            class="narrow"
            label="Name"
            pointer="/name"
            value={draft.name}
            onValue={(name) => {
              setDraft({ ...draft, name });
            }}
          />
          <TextField
            label="Addresses"
            pointer="/addresses"
            mono
            placeholder="198.51.100.3, 2001:db8:b::3"
            help="One, or one of each family."
            value={draft.addresses}
            onValue={(addresses) => {
              setDraft({ ...draft, addresses });
            }}
          />
          <TextField
            class="narrow"
            label="Port"
            pointer="/port"
            type="number"
            value={draft.port}
            onValue={(port) => {
              setDraft({ ...draft, port });
            }}
          />
          <TextField
            class="narrow"
            label="Weight"
            pointer="/weight"
            type="number"
            help="Its share of the keys, relative to the others'."
            value={draft.weight}
            onValue={(weight) => {
              setDraft({ ...draft, weight });
            }}
          />
        </div>
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

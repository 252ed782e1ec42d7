// The form of a backend that is there: its weight, and where it is.
import { useState } from "preact/hooks";
import { ofBackend } from "../../api/faults.ts";
import type { Backend, Problem } from "../../api/types.ts";
import { mergePatch } from "../../lib/patch.ts";
import { WriteButton } from "../../parts/button.tsx";
import { TextField } from "../../parts/fields.tsx";
import { Form } from "../../parts/form.tsx";
import { backendOf, type BackendDraft } from "../service/draft.ts";
import type { BackendPart } from "./deeds.ts";

interface Props {
  backend: Backend;
  problem: Problem | null;
  onClose: () => void;
  onEdit: (part: BackendPart) => unknown;
}

const fields = ["/weight", "/addresses", "/port"];

export function EditBackend({ backend, problem, onClose, onEdit }: Props) {
  const { name } = backend;
  const [before] = useState(() => draftOf(backend));
  const [draft, setDraft] = useState(before);
  // What is wrong the server refuses, and says why.
  const part = mergePatch(backendOf(before), backendOf(draft)) as BackendPart;
  return (
    <section class="card">
      <h2>Change {name}</h2>
      <Form
        label={`Change ${name}`}
        problem={ofBackend(problem)}
        fields={fields}
        onSubmit={() => onEdit(part)}
      >
        <div class="form-row">
          <TextField
            class="narrow"
            label="Weight"
            pointer="/weight"
            type="number"
            value={draft.weight}
            onValue={(weight) => {
              setDraft({ ...draft, weight });
            }}
            help="Its share of the keys, relative to the others'; 0 takes no new sessions."
          />
          <TextField
            label="Addresses"
            pointer="/addresses"
            mono
            value={draft.addresses}
            onValue={(addresses) => {
              setDraft({ ...draft, addresses });
            }}
            help="One, or one of each family. Its sessions go to the new one with their next packets."
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
        </div>
        <div class="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <WriteButton type="submit" class="primary" disabled={Object.keys(part).length === 0}>
            Preview change
          </WriteButton>
        </div>
      </Form>
    </section>
  );
}

function draftOf({ name, address, addresses, port, weight }: Backend): BackendDraft {
  const all = addresses ?? [address ?? ""];
  return { name, addresses: all.join(", "), port: String(port), weight: String(weight) };
}

// What sessions are searched by.
import { useState } from "preact/hooks";
import type { Problem } from "../../api/types.ts";
import { parseSearch } from "../../lib/search.ts";
import type { Names } from "../../live/names.ts";
import { SelectField, TextField } from "../../parts/fields.tsx";
import { Form } from "../../parts/form.tsx";
import type { Asked } from "./sessions.tsx";

interface Props {
  asked: Asked;
  names: readonly Names[];
  onSearch: (asked: Asked) => void;
}

const fields = ["/search"];

export function SearchForm({ asked, names, onSearch }: Props) {
  const [now, setNow] = useState(asked);
  const [problem, setProblem] = useState<Problem | null>(null);
  const service = now.service === "" ? asked.service : now.service;
  const backends = names.find((n) => n.service === service)?.backends ?? [];
  const search = () => {
    const parsed = parseSearch(now.text);
    if (parsed.ok) {
      onSearch({ ...now, service });
      return;
    }
    const errors = [{ pointer: "/search", detail: parsed.error }];
    setProblem({ type: "about:blank", title: "That cannot be searched", status: 400, errors });
  };
  return (
    <div role="search" class="card">
      <Form label="Search sessions" problem={problem} fields={fields} onSubmit={search}>
        <div class="form-row">
          <SelectField
            label="Service"
            value={service}
            choices={withChosen(
              names.map((n) => n.service),
              service,
            )}
            onValue={(chosen) => {
              onSearch({ service: chosen, text: "", backend: "" });
            }}
          />
          <TextField
            class="wide"
            label="Search"
            type="search"
            pointer="/search"
            mono
            placeholder="8c31f2, h:5b0c9a7be1f3d244, 198.51.100.7, [2001:db8::7]:4000"
            value={now.text}
            onValue={(text) => {
              setNow({ ...now, text });
            }}
          />
          <SelectField
            label="Backend"
            value={now.backend}
            choices={[{ value: "", label: "any" }, ...withChosen(backends, now.backend)]}
            onValue={(backend) => {
              setNow({ ...now, backend });
            }}
          />
          <button type="submit" class="primary">
            Search
          </button>
        </div>
      </Form>
    </div>
  );
}

/** Names as choices, with one that has gone meanwhile. */
function withChosen(names: readonly string[], chosen: string) {
  const all = chosen === "" || names.includes(chosen) ? names : [...names, chosen];
  return all.map((name) => ({ value: name, label: name }));
}

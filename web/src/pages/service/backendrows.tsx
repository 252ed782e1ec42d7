// The backends of a service that is being made.
import { pointer } from "../../lib/pointer.ts";
import { TextField } from "../../parts/fields.tsx";
import { noBackend, type BackendDraft } from "./draft.ts";
import { changed, without } from "./rows.ts";

interface Props {
  backends: BackendDraft[];
  onBackends: (backends: BackendDraft[]) => void;
}

const columns: [keyof BackendDraft, string, string, string][] = [
  ["name", "name", "narrow", "a"],
  ["addresses", "address", "", "198.51.100.1, 2001:db8:b::1"],
  ["port", "port", "narrow", ""],
  ["weight", "weight", "narrow", "1"],
];

export function BackendRows({ backends, onBackends }: Props) {
  return (
    <>
      <p class="help">
        The servers. One address, or one of each family. The weight is a backend's share of the
        keys, relative to the others'; with 0 it takes no new sessions.
      </p>
      {backends.map((one, i) => (
        <div class="form-row" key={i}>
          {columns.map(([name, word, look, placeholder]) => (
            <TextField
              key={name}
              class={look}
              label={`Backend ${String(i + 1)} ${word}`}
              pointer={pointer("backends", i, name)}
              type={name === "port" || name === "weight" ? "number" : "text"}
              mono={name === "addresses"}
              placeholder={placeholder}
              value={one[name]}
              onValue={(value) => {
                onBackends(changed(backends, i, { [name]: value }));
              }}
            />
          ))}
          <button
            type="button"
            class="quiet"
            aria-label={`Remove backend ${String(i + 1)}`}
            onClick={() => {
              onBackends(without(backends, i));
            }}
          >
            Remove
          </button>
        </div>
      ))}
      <button
        type="button"
        onClick={() => {
          const name = String.fromCharCode(97 + (backends.length % 26));
          onBackends([...backends, { ...noBackend, name, port: backends.at(-1)?.port ?? "" }]);
        }}
      >
        Add backend
      </button>
    </>
  );
}

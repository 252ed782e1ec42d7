// The addresses and ports that a service listens on.
import { pointer } from "../../lib/pointer.ts";
import { TextField } from "../../parts/fields.tsx";
import type { ListenDraft } from "./draft.ts";
import { changed, without } from "./rows.ts";

interface Props {
  listen: ListenDraft[];
  onListen: (listen: ListenDraft[]) => void;
}

export function ListenRows({ listen, onListen }: Props) {
  return (
    <>
      {listen.map((one, i) => (
        <div class="form-row" key={i}>
          <TextField
            label={`Listener ${String(i + 1)} address`}
            pointer={pointer("listen", i, "address")}
            mono
            placeholder="192.0.2.10 or 2001:db8::10"
            value={one.address}
            onValue={(address) => {
              onListen(changed(listen, i, { address }));
            }}
          />
          <TextField
            class="narrow"
            label={`Listener ${String(i + 1)} port`}
            pointer={pointer("listen", i, "port")}
            type="number"
            value={one.port}
            onValue={(port) => {
              onListen(changed(listen, i, { port }));
            }}
          />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove listener ${String(i + 1)}`}
            disabled={listen.length === 1}
            onClick={() => {
              onListen(without(listen, i));
            }}
          >
            Remove
          </button>
        </div>
      ))}
      <button
        type="button"
        onClick={() => {
          onListen([...listen, { address: "", port: listen.at(-1)?.port ?? "" }]);
        }}
      >
        Add listener
      </button>
    </>
  );
}

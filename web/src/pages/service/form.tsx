// The form of a service, new or not.
import { useMemo } from "preact/hooks";
import { useRefusal } from "../../api/identity.ts";
import type { Problem } from "../../api/types.ts";
import { WriteButton } from "../../parts/button.tsx";
import { TextField } from "../../parts/fields.tsx";
import { Form } from "../../parts/form.tsx";
import { BackendRows } from "./backendrows.tsx";
import type { Draft } from "./draft.ts";
import { HealthFields } from "./health.tsx";
import { KeyEditor } from "./keyeditor.tsx";
import { ListenRows } from "./listen.tsx";
import { MoreMembers } from "./more.tsx";
import { pointersOf } from "./pointers.ts";

interface Props {
  draft: Draft;
  onDraft: (draft: Draft) => void;
  problem: Problem | null;
  /** A new service has a name and backends too. */
  fresh: boolean;
  submit: string;
  busy: boolean;
  onSubmit: () => unknown;
}

export function ServiceForm({ draft, onDraft, problem, fresh, submit, busy, onSubmit }: Props) {
  const fields = useMemo(() => pointersOf(draft), [draft]);
  const refusal = useRefusal();
  const set = (part: Partial<Draft>) => {
    onDraft({ ...draft, ...part });
  };
  return (
    <Form
      label="Service"
      problem={problem}
      fields={fields}
      onSubmit={onSubmit}
      class="service-form"
    >
      <fieldset class="plain" disabled={refusal !== ""}>
        <legend class="visually-hidden">Service</legend>
        {fresh && (
          <section class="card">
            <TextField
              label="Name"
              pointer="/name"
              value={draft.name}
              onValue={(name) => {
                set({ name });
              }}
              help="1 to 63 lower-case letters, digits and inner dashes."
            />
          </section>
        )}
        <section class="card">
          <h2>Listeners</h2>
          <p class="help">
            Addresses and ports that clients send to. No other service may have them.
          </p>
          <ListenRows
            listen={draft.listen}
            onListen={(listen) => {
              set({ listen });
            }}
          />
        </section>
        <section class="card">
          <h2>Key</h2>
          <KeyEditor
            draft={draft.key}
            onDraft={(key) => {
              set({ key });
            }}
          />
        </section>
        {fresh && (
          <section class="card">
            <h2>Backends</h2>
            <BackendRows
              backends={draft.backends}
              onBackends={(backends) => {
                set({ backends });
              }}
            />
          </section>
        )}
        <section class="card">
          <h2>Health</h2>
          <HealthFields
            health={draft.health}
            onHealth={(health) => {
              set({ health });
            }}
          />
        </section>
        <details class="card" open={!fresh}>
          <summary>
            <h2>More members</h2>
          </summary>
          <MoreMembers draft={draft} set={set} />
        </details>
      </fieldset>
      <div class="actions form-end">
        <WriteButton type="submit" class="primary" disabled={busy}>
          {submit}
        </WriteButton>
      </div>
    </Form>
  );
}

// Who may use the API.
import { useState } from "preact/hooks";
import { api, ask, once } from "../api/client.ts";
import { useIdentity } from "../api/identity.ts";
import type { NewToken, Problem, Scope } from "../api/types.ts";
import { time } from "../lib/format.ts";
import { useResource } from "../live/resource.ts";
import { WriteButton } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { SelectField, TextField } from "../parts/fields.tsx";
import { Form } from "../parts/form.tsx";
import { Heading } from "../parts/heading.tsx";
import { Empty, Loading, ProblemNote } from "../parts/states.tsx";
import { TableBox } from "../parts/tablebox.tsx";

export function Tokens() {
  const may = useIdentity()?.scope === "write";
  return (
    <>
      <Heading title="Tokens" lead="Who may use the API, and this dashboard." />
      {may ? <List /> : <Empty title="Only a token that may write sees the list of tokens" />}
    </>
  );
}

function List() {
  const tokens = useResource("tokens", (signal) =>
    ask(api.GET("/v1/tokens", { params: { query: { limit: 1000 } }, signal })),
  );
  const [made, setMade] = useState<NewToken | null>(null);
  const [revoking, setRevoking] = useState("");
  return (
    <>
      <Create
        onMade={(token) => {
          setMade(token);
          tokens.reload();
        }}
      />
      {made !== null && (
        <div class="notice good" role="status">
          <p>The token {made.name}. It is shown this once: copy it now.</p>
          <p class="mono secret" data-testid="secret">
            {made.secret}
          </p>
        </div>
      )}
      <ProblemNote problem={tokens.problem} />
      {tokens.data === null ? (
        tokens.loading && <Loading />
      ) : (
        <TableBox label="Tokens">
          <table class="stacking" aria-label="Tokens">
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Scope</th>
                <th scope="col">Created</th>
                <th scope="col">
                  <span class="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {tokens.data.items.map((token) => (
                <tr key={token.name} data-testid="token-row">
                  <th scope="row">{token.name}</th>
                  <td data-label="Scope">
                    <span class="badge">{token.scope}</span>
                  </td>
                  <td data-label="Created">{time(token.created)}</td>
                  <td class="row-actions">
                    <WriteButton
                      class="quiet danger"
                      label={`Revoke ${token.name}`}
                      onClick={() => {
                        setRevoking(token.name);
                      }}
                    >
                      Revoke
                    </WriteButton>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </TableBox>
      )}
      {revoking !== "" && (
        <Revoke
          name={revoking}
          onClose={() => {
            setRevoking("");
            tokens.reload();
          }}
        />
      )}
    </>
  );
}

function Create({ onMade }: { onMade: (token: NewToken) => void }) {
  const [name, setName] = useState("");
  const [scope, setScope] = useState<Scope>("read");
  const [problem, setProblem] = useState<Problem | null>(null);
  const create = async () => {
    const answer = await ask(
      api.POST("/v1/tokens", { params: { header: once() }, body: { name: name.trim(), scope } }),
    );
    setProblem(answer.ok ? null : answer.problem);
    if (answer.ok) {
      setName("");
      onMade(answer.data);
    }
  };
  return (
    <section class="card">
      <h2>New token</h2>
      <Form label="New token" problem={problem} fields={fields} onSubmit={create}>
        <div class="form-row">
          <TextField label="Name" pointer="/name" value={name} onValue={setName} />
          <SelectField
            label="Scope"
            pointer="/scope"
            value={scope}
            choices={[
              { value: "read", label: "read: sees, and changes nothing" },
              { value: "write", label: "write: sees keys too, and changes" },
            ]}
            onValue={(value) => {
              setScope(value as Scope);
            }}
          />
          <WriteButton type="submit" class="primary">
            Create token
          </WriteButton>
        </div>
      </Form>
    </section>
  );
}

const fields = ["/name", "/scope"];

function Revoke({ name, onClose }: { name: string; onClose: () => void }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const self = useIdentity()?.name === name;
  const revoke = async () => {
    const answer = await ask(api.DELETE("/v1/tokens/{name}", { params: { path: { name } } }));
    if (answer.ok) {
      onClose();
    } else {
      setProblem(answer.problem);
    }
  };
  return (
    <Dialog
      title={`Revoke the token ${name}?`}
      onClose={onClose}
      actions={
        <WriteButton class="danger" onClick={revoke}>
          Revoke
        </WriteButton>
      }
    >
      <ProblemNote problem={problem} />
      <p>
        It counts no longer, nor does any sign-in that was made with it.
        {self && " It is the one that you are signed in with."}
      </p>
    </Dialog>
  );
}

// Signing in with a token of the API.
import { useEffect, useState } from "preact/hooks";
import { api, ask } from "../api/client.ts";
import { who } from "../api/identity.ts";
import type { Problem } from "../api/types.ts";
import { Form } from "../parts/form.tsx";
import { TextField } from "../parts/fields.tsx";
import { Mark } from "../parts/mark.tsx";

export function SignIn() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = "Sign in · roamlb";
  }, []);

  const submit = async () => {
    setBusy(true);
    const answer = await ask(api.POST("/v1/login", { body: { token: token.trim() } }));
    setBusy(false);
    if (answer.ok) {
      who.set(answer.data);
    } else {
      setProblem(answer.problem);
    }
  };

  return (
    <main class="signin">
      <div class="card">
        <p class="brand">
          <Mark /> roamlb
        </p>
        <h1>Sign in</h1>
        <Form problem={problem} label="Sign in" fields={["/token"]} onSubmit={submit}>
          <TextField
            label="API token"
            pointer="/token"
            type="password"
            autocomplete="current-password"
            value={token}
            onValue={setToken}
            help={
              <>
                The first start of the daemon prints one. <code>roamlb token create NAME</code>{" "}
                makes others; a token with the scope <code>read</code> sees everything and changes
                nothing.
              </>
            }
          />
          <button class="primary" type="submit" disabled={busy || token.trim() === ""}>
            Sign in
          </button>
        </Form>
      </div>
    </main>
  );
}

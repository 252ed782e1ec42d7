// The frame: who is signed in, and which page is shown.
import { useEffect } from "preact/hooks";
import { api, ask, unreachable } from "./api/client.ts";
import { who } from "./api/identity.ts";
import { follow } from "./live/follow.ts";
import { useStore } from "./live/store.ts";
import { Shell } from "./shell.tsx";
import { SignIn } from "./pages/signin.tsx";

/** Asks who is signed in, until the daemon answers. */
async function identify(signal: AbortSignal): Promise<void> {
  while (!signal.aborted && who.value === "unknown") {
    const answer = await ask(api.GET("/v1/login", { signal }));
    if (answer.ok) {
      who.set(answer.data);
    } else if (answer.problem.type !== unreachable && answer.problem.status < 500) {
      who.set("nobody");
    } else {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

export function App() {
  const now = useStore(who);
  useEffect(() => {
    const end = new AbortController();
    void identify(end.signal);
    return () => {
      end.abort();
    };
  }, []);
  const signedIn = typeof now !== "string";
  useEffect(() => (signedIn ? follow() : undefined), [signedIn]);
  useEffect(() => {
    document.documentElement.dataset["ready"] = String(now !== "unknown");
  }, [now]);
  if (now === "unknown") {
    return (
      <p class="waiting" role="status">
        Waiting for the daemon…
      </p>
    );
  }
  return signedIn ? <Shell identity={now} /> : <SignIn />;
}

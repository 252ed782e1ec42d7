// The top: whether the page is live, who is signed in, light or dark.
import { api, ask } from "../api/client.ts";
import { who } from "../api/identity.ts";
import type { Identity } from "../api/types.ts";
import { connection, type Connection } from "../live/connection.ts";
import { readiness } from "../live/readiness.ts";
import { useStore } from "../live/store.ts";
import { theme, type Theme } from "../live/theme.ts";
import { Mark } from "./mark.tsx";

const texts: Record<Connection, string> = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  starting: "Starting…",
};

function ConnectionState() {
  const now = useStore(connection);
  const ready = useStore(readiness);
  const state: Connection = now === "live" && ready?.status === "starting" ? "starting" : now;
  return (
    <p class="connection" role="status" data-testid="connection" data-state={state}>
      <span class="dot" aria-hidden="true" />
      {texts[state]}
      {state === "reconnecting" && <span class="wide-only"> what you see is from before</span>}
    </p>
  );
}

async function signOut(): Promise<void> {
  await ask(api.DELETE("/v1/login"));
  who.set("nobody");
}

export function Banner({ identity }: { identity: Identity }) {
  const chosen = useStore(theme);
  return (
    <header class="banner">
      <a class="brand" href="#/" aria-label="roamlb, to the overview">
        <Mark /> <span>roamlb</span>
      </a>
      <ConnectionState />
      <span class="spacer" />
      <label class="theme">
        <span class="visually-hidden">Theme</span>
        <select
          value={chosen}
          onChange={(event) => {
            theme.set(event.currentTarget.value as Theme);
          }}
        >
          <option value="system">System</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
      </label>
      <p class="identity" data-testid="identity" data-scope={identity.scope}>
        {identity.name}
        <span class={`badge ${identity.scope === "write" ? "" : "warn"}`}>
          {identity.scope === "write" ? "may write" : "read-only"}
        </span>
      </p>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          void signOut();
        }}
      >
        Sign out
      </button>
    </header>
  );
}

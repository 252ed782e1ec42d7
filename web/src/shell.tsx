// What surrounds every page.
import { useEffect, useRef } from "preact/hooks";
import { useRefusal } from "./api/identity.ts";
import type { Identity } from "./api/types.ts";
import { route } from "./live/location.ts";
import { useStore } from "./live/store.ts";
import { AlarmList } from "./parts/alarms.tsx";
import { Banner } from "./parts/banner.tsx";
import { Navigation } from "./parts/navigation.tsx";
import { Page } from "./pages/page.tsx";

export function Shell({ identity }: { identity: Identity }) {
  const now = useStore(route);
  const main = useRef<HTMLElement>(null);
  const path = now.path.join("/");
  const refusal = useRefusal();

  useEffect(() => {
    window.scrollTo(0, 0);
  }, [path]);

  return (
    <div class="shell">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to content
      </a>
      <Banner identity={identity} />
      <Navigation path={now.path} />
      <main id="main" ref={main} tabIndex={-1}>
        <AlarmList />
        {refusal !== "" && (
          <p class="notice" id="read-only" data-testid="read-only">
            Read-only. {refusal}
          </p>
        )}
        <Page route={now} />
      </main>
    </div>
  );
}

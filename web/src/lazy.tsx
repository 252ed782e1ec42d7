// Pages that are loaded when somebody goes there.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Loading } from "./parts/states.tsx";

type Loaded<P> = { at: "loading" } | { at: "ready"; page: ComponentType<P> } | { at: "failed" };

/** A component that is fetched with its first use. */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let kept: ComponentType<P> | null = null;
  return function Lazy(props: P) {
    const [state, setState] = useState<Loaded<P>>(
      kept === null ? { at: "loading" } : { at: "ready", page: kept },
    );
    useEffect(() => {
      if (state.at !== "loading") {
        return;
      }
      load().then(
        (page) => {
          kept = page;
          setState({ at: "ready", page });
        },
        () => {
          setState({ at: "failed" });
        },
      );
    }, [state.at]);
    if (state.at === "failed") {
      return (
        <p class="notice bad" role="alert">
          This page could not be loaded. The daemon may be away, or newer than what you have:{" "}
          <a href={window.location.pathname}>load the dashboard again</a>.
        </p>
      );
    }
    if (state.at === "loading") {
      return <Loading />;
    }
    const Page = state.page;
    return <Page {...props} />;
  };
}

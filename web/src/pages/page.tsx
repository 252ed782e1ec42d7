// Which page an address means.
import type { VNode } from "preact";
import { lazy } from "../lazy.tsx";
import type { Route } from "../lib/route.ts";
import { Heading } from "../parts/heading.tsx";
import { Overview } from "./overview.tsx";

const Backends = lazy(() => import("./backends/backends.tsx").then((m) => m.Backends));
const ChangeService = lazy(() => import("./service/change.tsx").then((m) => m.ChangeService));
const Events = lazy(() => import("./events.tsx").then((m) => m.Events));
const Explain = lazy(() => import("./explain/explain.tsx").then((m) => m.Explain));
const Host = lazy(() => import("./host.tsx").then((m) => m.Host));
const NewService = lazy(() => import("./service/new.tsx").then((m) => m.NewService));
const Roaming = lazy(() => import("./roaming/roaming.tsx").then((m) => m.Roaming));
const Ruleset = lazy(() => import("./ruleset/ruleset.tsx").then((m) => m.Ruleset));
const Service = lazy(() => import("./service/service.tsx").then((m) => m.ServicePage));
const Services = lazy(() => import("./services.tsx").then((m) => m.Services));
const Session = lazy(() => import("./sessions/session.tsx").then((m) => m.SessionPage));
const Sessions = lazy(() => import("./sessions/sessions.tsx").then((m) => m.Sessions));
const Tokens = lazy(() => import("./tokens.tsx").then((m) => m.Tokens));

export function Page({ route }: { route: Route }): VNode {
  const [page, name, part] = route.path;
  switch (page) {
    case undefined:
      return <Overview />;
    case "services":
      return servicePage(name, part);
    case "sessions":
      return name !== undefined && part !== undefined ? (
        <Session service={name} name={part} />
      ) : (
        <Sessions query={route.query} />
      );
    case "roaming":
      return <Roaming query={route.query} />;
    case "explain":
      return <Explain query={route.query} />;
    case "ruleset":
      return <Ruleset />;
    case "events":
      // Another query is another log; what is typed there does not change it.
      return <Events key={JSON.stringify([...route.query])} query={route.query} />;
    case "host":
      return <Host />;
    case "tokens":
      return <Tokens />;
    default:
      return <Missing />;
  }
}

function servicePage(name: string | undefined, part: string | undefined): VNode {
  if (name === undefined) {
    return <Services />;
  }
  // "new" is a name that a service can have: then it is reached by its parts.
  if (name === "new" && part === undefined) {
    return <NewService />;
  }
  switch (part) {
    case undefined:
    case "show":
      return <Service name={name} />;
    case "edit":
      return <ChangeService key={name} name={name} />;
    case "backends":
      return <Backends service={name} />;
    default:
      return <Missing />;
  }
}

function Missing() {
  return (
    <>
      <Heading title="There is no such page" />
      <p>
        <a href="#/">To the overview</a>
      </p>
    </>
  );
}

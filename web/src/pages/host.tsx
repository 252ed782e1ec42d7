// The machine and the daemon.
import { api, ask } from "../api/client.ts";
import type { Check } from "../api/types.ts";
import { useResource } from "../live/resource.ts";
import { Fact, Facts } from "../parts/facts.tsx";
import { Heading } from "../parts/heading.tsx";
import { Empty, Loading, ProblemNote } from "../parts/states.tsx";

const order = ["fail", "warn", "ok", "skip"];
const looks: Record<Check["status"], string> = { fail: "bad", warn: "warn", ok: "good", skip: "" };

export function Host() {
  const version = useResource("version", (signal) => ask(api.GET("/v1/version", { signal })));
  const checks = useResource("checks", (signal) => ask(api.GET("/v1/checks", { signal })));
  const sorted = [...(checks.data?.items ?? [])].sort(
    (a, b) => order.indexOf(a.status) - order.indexOf(b.status),
  );
  return (
    <>
      <Heading
        title="Host"
        lead="What this host lacks or has set against us, as roamlb check finds it."
      >
        <button type="button" onClick={checks.reload} disabled={checks.loading}>
          Check again
        </button>
        <a class="button" href="/v1/config" download="roamlb.json">
          Save configuration
        </a>
        <a class="button" href="/metrics">
          Metrics
        </a>
      </Heading>
      {version.data !== null && (
        <Facts label="Version">
          <Fact name="roamlb" value={version.data.version} />
          <Fact name="API" value={version.data.api} />
          <Fact name="Built with" value={version.data.go} />
        </Facts>
      )}
      <ProblemNote problem={checks.problem} />
      {checks.data === null && checks.loading && <Loading />}
      {checks.data?.items.length === 0 && <Empty title="Nothing was checked" />}
      <ul class="checks">
        {sorted.map((check) => (
          <li key={check.name} class="card" data-testid="check" data-status={check.status}>
            <p>
              <span class={`badge ${looks[check.status]}`}>{check.status}</span>{" "}
              <strong>{check.name}</strong>
            </p>
            <p>{check.found}</p>
            {check.status !== "ok" && check.want !== undefined && <p class="help">{check.want}</p>}
            {check.status !== "ok" && check.fix !== undefined && (
              <pre class="mono">{check.fix}</pre>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}

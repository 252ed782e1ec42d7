// Whether the balancer does its job, at a glance.
import { useMemo, useState } from "preact/hooks";
import { lazy } from "../lazy.tsx";
import { count, duration, rate } from "../lib/format.ts";
import { stateOf } from "../lib/state.ts";
import { type Live, live } from "../live/stats.ts";
import { still, type Rates } from "../live/rates.ts";
import { useStore } from "../live/store.ts";
import { Fact, Facts } from "../parts/facts.tsx";
import { Heading } from "../parts/heading.tsx";
import { SearchField } from "../parts/searchfield.tsx";
import { ServiceTable } from "../parts/services.tsx";
import { Loading } from "../parts/states.tsx";

const Chart = lazy(() => import("../parts/chart.tsx").then((m) => m.Chart));

const tiles: [keyof Rates, string, string][] = [
  ["flows", "New flows", "Clients that began to talk to a backend"],
  [
    "packets",
    "Packets decided",
    "First packets and roams that the daemon saw; all others stay in the kernel",
  ],
  ["roams", "Roams", "Sessions that came from a new client"],
  ["deletions", "Deletions", "Stale conntrack entries that were deleted"],
];

export function Overview() {
  const now = useStore(live);
  return (
    <>
      <Heading title="Overview">
        <a class="button" href="#/roaming">
          Watch sessions roam
        </a>
      </Heading>
      <section class="tiles" aria-label="Rates">
        {tiles.map(([name, title, help]) => (
          <Tile key={name} name={name} title={title} help={help} rates={now?.rates ?? null} />
        ))}
      </section>
      {now === null ? <Loading /> : <Now live={now} />}
    </>
  );
}

interface TileProps {
  name: keyof Rates;
  title: string;
  help: string;
  rates: Rates | null;
}

function Tile({ name, title, help, rates }: TileProps) {
  const value = (rates ?? still)[name];
  return (
    <div class="tile card">
      <h2 title={help}>{title}</h2>
      <p class="tile-value" data-testid={`rate-${name}`} data-value={value.toFixed(2)}>
        {rates === null ? "–" : rate(value)}
        <span class="unit"> /s</span>
      </p>
      <Chart name={name} />
      <p class="help">{help}</p>
    </div>
  );
}

function Now({ live: { stats, before, look } }: { live: Live }) {
  const [filter, setFilter] = useState("");
  const sessions = useMemo(() => stats.services.reduce((n, s) => n + s.sessions, 0), [stats]);
  const backends = stats.services.flatMap((s) => s.backends);
  const up = backends.filter((b) => b.state === "up").length;
  const wrong = stats.services.filter((s) => stateOf(s).level !== "ok").length;
  return (
    <>
      <Facts label="Now">
        <Fact name="Live sessions" value={count(sessions)} />
        <Fact name="Known flows" value={count(stats.flows)} />
        <Fact name="Backends up" value={`${String(up)} of ${String(backends.length)}`} />
        <Fact name="Deletions to come" value={count(stats.pending)} />
        <Fact
          name="Daemon runs for"
          value={duration((look.at - Date.parse(stats.started)) / 1000)}
        />
      </Facts>
      <section aria-labelledby="services-title">
        <div class="section-head">
          <h2 id="services-title">
            Services{" "}
            <span class="count">
              {stats.services.length}
              {wrong > 0 && `, ${String(wrong)} not well`}
            </span>
          </h2>
          <SearchField label="Filter services" value={filter} onValue={setFilter} />
        </div>
        <ServiceTable services={stats.services} before={before} look={look} filter={filter} />
      </section>
    </>
  );
}

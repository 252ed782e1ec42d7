// The services with their backends, as the figures have them.
import { useMemo, useState } from "preact/hooks";
import type { BackendStats, ServiceStats } from "../api/types.ts";
import { count, rate } from "../lib/format.ts";
import { href } from "../lib/route.ts";
import { stateOf, worstFirst } from "../lib/state.ts";
import { serviceRates, type Look } from "../live/rates.ts";
import { More } from "./more.tsx";
import { Empty } from "./states.tsx";
import { WriteLink } from "./button.tsx";
import { TableBox } from "./tablebox.tsx";

const page = 50;
const chips = 8;

interface Props {
  services: readonly ServiceStats[];
  before: Look | null;
  look: Look;
  filter: string;
}

export function ServiceTable({ services, before, look, filter }: Props) {
  const [shown, setShown] = useState(page);
  const found = useMemo(
    () => worstFirst(services.filter((s) => matches(s, filter.trim().toLowerCase()))),
    [services, filter],
  );
  if (services.length === 0) {
    return (
      <Empty title="There is no service yet">
        <p>
          A service is where clients send to, where the key stands in what they send, and the
          backends.
        </p>
        <WriteLink class="primary" to="#/services/new">
          Create the first
        </WriteLink>
      </Empty>
    );
  }
  if (found.length === 0) {
    return <Empty title={`Nothing is called like “${filter}”`} />;
  }
  return (
    <>
      <TableBox label="Services">
        <table class="stacking" aria-label="Services">
          <thead>
            <tr>
              <th scope="col">Service</th>
              <th scope="col">Backends</th>
              <th scope="col" class="number">
                Sessions
              </th>
              <th scope="col" class="number">
                New flows/s
              </th>
              <th scope="col" class="number">
                Roams/s
              </th>
              <th scope="col" class="number">
                Deletions/s
              </th>
            </tr>
          </thead>
          <tbody>
            {found.slice(0, shown).map((s) => (
              <Row key={s.name} service={s} before={before} look={look} />
            ))}
          </tbody>
        </table>
      </TableBox>
      <More
        shown={shown}
        of={found.length}
        onMore={() => {
          setShown(shown + page);
        }}
      />
    </>
  );
}

function matches(service: ServiceStats, text: string): boolean {
  return service.name.includes(text) || service.backends.some((b) => b.name.includes(text));
}

function Row({
  service,
  before,
  look,
}: {
  service: ServiceStats;
  before: Look | null;
  look: Look;
}) {
  const state = stateOf(service);
  const rates = serviceRates(before, look, service.name);
  return (
    <tr data-testid="service-row" data-service={service.name} data-state={state.level}>
      <th scope="row">
        <span class={`state ${state.level}`}>
          <a href={href(["services", service.name])}>{service.name}</a>
          <span class="state-text">{state.text}</span>
        </span>
      </th>
      <td data-label="Backends">
        <ul class="chips" aria-label={`Backends of ${service.name}`}>
          {service.backends.slice(0, chips).map((b) => (
            <BackendChip key={b.name} backend={b} />
          ))}
          {service.backends.length > chips && (
            <li class="chip-more">+{service.backends.length - chips}</li>
          )}
        </ul>
      </td>
      <td class="number" data-label="Sessions">
        {count(service.sessions)}
      </td>
      <td class="number" data-label="New flows/s">
        {rate(rates.flows)}
      </td>
      <td class="number" data-label="Roams/s">
        {rate(rates.roams)}
      </td>
      <td class="number" data-label="Deletions/s">
        {rate(rates.deletions)}
      </td>
    </tr>
  );
}

function BackendChip({ backend }: { backend: BackendStats }) {
  const { name, state, sessions } = backend;
  const left = state === "drain" && sessions !== undefined ? `, ${count(sessions)} left` : "";
  return (
    <li
      class={`chip ${state}`}
      data-testid="backend"
      data-backend={name}
      data-state={state}
      title={`${name}: ${state}${left}, weight ${String(backend.weight)}`}
    >
      {name}
      <span class={state === "up" ? "visually-hidden" : "chip-state"}> {state + left}</span>
    </li>
  );
}

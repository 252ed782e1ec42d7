// The backends, what they do, and what can be done with them.
import type { Backend, BackendStats, Service, ServiceStats } from "../../api/types.ts";
import { count, duration } from "../../lib/format.ts";
import { href } from "../../lib/route.ts";
import { WriteButton } from "../../parts/button.tsx";
import type { Deed } from "./deeds.ts";
import { Drain } from "./drain.tsx";
import { TableBox } from "../../parts/tablebox.tsx";

interface Props {
  service: Service;
  stats: ServiceStats | undefined;
  onDeed: (deed: Deed) => unknown;
  onEdit: (backend: Backend) => void;
}

export function BackendTable({ service, stats, onDeed, onEdit }: Props) {
  return (
    <TableBox label="Backends">
      <table class="stacking" aria-label="Backends">
        <thead>
          <tr>
            <th scope="col">Backend</th>
            <th scope="col">Address</th>
            <th scope="col" class="number">
              Weight
            </th>
            <th scope="col" class="number">
              Sessions
            </th>
            <th scope="col" class="number">
              Flows
            </th>
            <th scope="col">
              <span class="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {service.backends.map((b) => (
            <Row
              key={b.name}
              service={service.name}
              backend={b}
              stats={stats?.backends.find((s) => s.name === b.name)}
              onDeed={onDeed}
              onEdit={onEdit}
            />
          ))}
        </tbody>
      </table>
    </TableBox>
  );
}

interface RowProps {
  service: string;
  backend: Backend;
  stats: BackendStats | undefined;
  onDeed: (deed: Deed) => unknown;
  onEdit: (backend: Backend) => void;
}

const words = { up: "up", drain: "draining", down: "down" };

function Row({ service, backend, stats, onDeed, onEdit }: RowProps) {
  const { name, admin, weight } = backend;
  const state = stats?.state ?? backend.state;
  const left = stats?.sessions;
  const since = stats?.draining_since;
  return (
    <tr data-testid="backend-row" data-backend={name} data-state={state}>
      <th scope="row">
        <span class={`chip ${state}`}>{name}</span>{" "}
        <span class="state-text">
          {words[state]}
          {admin === "up" && state === "down" && " by its probes"}
          {admin === "drain" && state === "down" && ": drained"}
          {since !== undefined &&
            state === "drain" &&
            ` for ${duration((Date.now() - Date.parse(since)) / 1000)}`}
        </span>
        {admin === "drain" && state === "drain" && <Drain name={name} left={left} />}
      </th>
      <td data-label="Address" class="mono">
        <span>
          {(backend.addresses ?? [backend.address]).join(", ")}{" "}
          <span class="muted nowrap">port {backend.port}</span>
        </span>
      </td>
      <td class="number" data-label="Weight">
        {weight}
      </td>
      <td class="number" data-label="Sessions">
        <a
          href={href(["sessions"], { service, backend: name })}
          data-testid="sessions-left"
          data-value={left}
          aria-label={`Sessions on ${name}: ${left === undefined ? "unknown" : count(left)}`}
        >
          {left === undefined ? "–" : count(left)}
        </a>
      </td>
      <td class="number" data-label="Flows">
        {stats === undefined ? "–" : count(stats.packets)}
      </td>
      <td class="row-actions">
        <Actions backend={backend} onDeed={onDeed} onEdit={onEdit} />
      </td>
    </tr>
  );
}

function Actions({ backend, onDeed, onEdit }: Pick<RowProps, "backend" | "onDeed" | "onEdit">) {
  const { name, admin } = backend;
  const to = (verb: string, next: Backend["admin"], look = "") => (
    <WriteButton
      class={look}
      label={`${verb} ${name}`}
      onClick={() => onDeed({ kind: "admin", name, admin: next })}
    >
      {verb}
    </WriteButton>
  );
  return (
    <>
      {admin === "up" && to("Drain", "drain")}
      {admin === "drain" && to("Undrain", "up")}
      {admin === "down" ? to("Bring up", "up") : to("Take down", "down", "quiet")}
      <WriteButton
        class="quiet"
        label={`Change ${name}`}
        onClick={() => {
          onEdit(backend);
        }}
      >
        Change
      </WriteButton>
      <WriteButton
        class="quiet danger"
        label={`Remove ${name}`}
        onClick={() => onDeed({ kind: "remove", name })}
      >
        Remove
      </WriteButton>
    </>
  );
}

// What a service is set to.
import type { Service } from "../../api/types.ts";
import { count } from "../../lib/format.ts";
import { href } from "../../lib/route.ts";

export function Members({ service }: { service: Service }) {
  return (
    <div>
      <section class="card">
        <h2>Listeners</h2>
        <ul class="plain-list mono">
          {service.listen.map((l) => (
            <li key={`${l.address} ${String(l.port)}`}>
              {l.address.includes(":") ? `[${l.address}]` : l.address}:{l.port}
            </li>
          ))}
        </ul>
      </section>
      <section class="card">
        <h2>Backends</h2>
        {service.backends.length === 0 ? (
          <p class="bad-text">There are none.</p>
        ) : (
          <ul class="plain-list members-backends">
            {service.backends.map((b) => (
              <li key={b.name}>
                <span class={`chip ${b.state}`}>
                  {b.name} <span class="chip-state">{b.state}</span>
                </span>
                <span>weight {b.weight}</span>
                <span class="mono">
                  {(b.addresses ?? [b.address]).join(", ")}{" "}
                  <span class="muted nowrap">port {b.port}</span>
                </span>
              </li>
            ))}
          </ul>
        )}
        <p>
          <a href={href(["services", service.name, "backends"])}>Add, drain, change, remove</a>
        </p>
      </section>
      <section class="card">
        <h2>Members</h2>
        <dl class="members">
          {membersOf(service).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </section>
    </div>
  );
}

function membersOf(s: Service): [string, string][] {
  const timeouts =
    s.timeouts === undefined
      ? "the kernel's"
      : `${s.timeouts.unreplied} unreplied, ${s.timeouts.replied} replied`;
  return [
    ["Pinning", s.pinning],
    ["Data path", s.datapath],
    ["Stale entries", s.stale],
    ["Confirm timeout", s.confirm_timeout],
    ["Session TTL", s.session_ttl],
    ["Max sessions", count(s.max_sessions)],
    ["Drain timeout", s.drain_timeout],
    ["Source NAT", s.snat],
    ["No backend", s.no_backend],
    ["All down", s.all_down === "" ? `as with no backend: ${s.no_backend}` : s.all_down],
    ["Slots", count(s.slots)],
    ["Timeouts", timeouts],
    [
      "Health",
      s.health === "none" ? "not probed" : `${s.health.kind}, every ${s.health.interval ?? "5s"}`,
    ],
    ["Allow", s.allow === undefined || s.allow.length === 0 ? "everybody" : s.allow.join(", ")],
    ["Deny", s.deny === undefined || s.deny.length === 0 ? "nobody" : s.deny.join(", ")],
  ];
}

// How a service's backends are probed.
import { SelectField, TextField } from "../../parts/fields.tsx";
import { probeMembers, withKind } from "./probe.ts";

interface Props {
  health: Record<string, string>;
  onHealth: (health: Record<string, string>) => void;
}

const kinds = [
  { value: "none", label: "none: backends are never probed" },
  { value: "udp", label: "udp: a datagram, and its answer" },
  { value: "icmp", label: "icmp: an echo" },
  { value: "tcp", label: "tcp: a connection" },
  { value: "http", label: "http: a request" },
  { value: "https", label: "https: a request over TLS" },
];

export function HealthFields({ health, onHealth }: Props) {
  const kind = health["kind"] ?? "none";
  return (
    <>
      <SelectField
        label="Health check"
        pointer="/health"
        value={kind}
        choices={kinds}
        onValue={(to) => {
          onHealth(withKind(health, to));
        }}
        help="A backend that does not answer takes no sessions until it does."
      />
      {kind !== "none" && (
        <div class="form-grid">
          {probeMembers(kind).map((m) => (
            <TextField
              key={m.name}
              label={m.label}
              pointer={m.pointer}
              help={m.help}
              placeholder={m.placeholder ?? ""}
              value={health[m.name] ?? ""}
              onValue={(value) => {
                onHealth({ ...health, [m.name]: value });
              }}
            />
          ))}
        </div>
      )}
    </>
  );
}

// What a change would move.
import type { Preview } from "../api/types.ts";
import { count, percent, plural } from "../lib/format.ts";

export function PreviewView({ preview }: { preview: Preview }) {
  const { rings, sessions, differences, effective } = preview;
  return (
    <div data-testid="preview" class="preview">
      {differences.length === 0 ? (
        <p>Nothing would change.</p>
      ) : (
        <ul class="differences">
          {differences.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
      <dl class="preview-facts">
        {rings.map((ring) => (
          <div key={ring.family}>
            <dt>Ring {ring.family === "ipv4" ? "IPv4" : "IPv6"}</dt>
            <dd>
              <Bar part={ring.share} />
              <strong>{percent(ring.share)}</strong> of the keys get another backend (
              {count(ring.moved)} of {count(ring.slots)} slots)
              <Moves moves={ring.moves.map((m) => ({ ...m, n: m.slots }))} word="slot" />
            </dd>
          </div>
        ))}
        <div>
          <dt>Live sessions</dt>
          <dd>
            <Bar
              part={
                sessions.total === 0 ? 0 : (sessions.moved + sessions.forgotten) / sessions.total
              }
            />
            <strong>{count(sessions.moved)}</strong> of {plural(sessions.total, "session")} would go
            to another backend with their next packet
            {sessions.forgotten > 0 && (
              <>
                {"; "}
                <strong class="bad-text">{count(sessions.forgotten)} would be forgotten</strong>, as
                the key changes
              </>
            )}
            <Moves moves={sessions.moves.map((m) => ({ ...m, n: m.sessions }))} word="session" />
          </dd>
        </div>
        <div>
          <dt>Pinning then</dt>
          <dd>
            {effective.pinning}: {effective.reason}
          </dd>
        </div>
        {effective.datapath !== undefined && (
          <div>
            <dt>Data path then</dt>
            <dd>
              {effective.datapath}: {effective.datapath_reason}
            </dd>
          </div>
        )}
      </dl>
    </div>
  );
}

function Bar({ part }: { part: number }) {
  return (
    <span class="bar" aria-hidden="true">
      <span class="bar-part moved" style={{ width: `${String(Math.min(part, 1) * 100)}%` }} />
    </span>
  );
}

interface Move {
  from?: string;
  to?: string;
  n: number;
}

function Moves({ moves, word }: { moves: readonly Move[]; word: string }) {
  return moves.length === 0 ? null : (
    <ul class="moves">
      {moves.slice(0, 12).map((m) => (
        <li key={`${m.from ?? ""} ${m.to ?? ""}`}>
          {m.from ?? "nobody"} → {m.to ?? "nobody"}: {plural(m.n, word)}
        </li>
      ))}
      {moves.length > 12 && <li>and {moves.length - 12} more ways</li>}
    </ul>
  );
}

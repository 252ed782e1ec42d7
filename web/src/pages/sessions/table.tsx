// A page of sessions.
import type { Session } from "../../api/types.ts";
import { ago, count } from "../../lib/format.ts";
import { shortKey } from "../../lib/hex.ts";
import { href } from "../../lib/route.ts";
import { Empty, Loading, ProblemNote } from "../../parts/states.tsx";
import type { Pages } from "./pages.ts";
import { TableBox } from "../../parts/tablebox.tsx";

interface Props {
  service: string;
  pages: Pages<Session>;
}

export function SessionTable({ service, pages }: Props) {
  const { items, number, next, problem, loading, onNext, onFirst } = pages;
  if (problem !== null) {
    return <ProblemNote problem={problem} />;
  }
  if (loading && items.length === 0) {
    return <Loading />;
  }
  if (items.length === 0) {
    return (
      <Empty title="No live session is like that">
        <p>A session appears here with the first packet that has its key.</p>
      </Empty>
    );
  }
  const now = Date.now();
  return (
    <>
      <TableBox label="Sessions" busy={loading}>
        <table class="stacking" aria-label="Sessions">
          <thead>
            <tr>
              <th scope="col">Session</th>
              <th scope="col">Backend</th>
              <th scope="col">Client</th>
              <th scope="col">State</th>
              <th scope="col" class="number">
                Last decided
              </th>
            </tr>
          </thead>
          <tbody>
            {items.map((s) => (
              <Row key={nameOf(s)} session={s} service={service} now={now} />
            ))}
          </tbody>
        </table>
      </TableBox>
      <p class="more">
        <button type="button" onClick={onFirst} disabled={number === 1 || loading}>
          First page
        </button>{" "}
        <button type="button" onClick={onNext} disabled={next === "" || loading}>
          Next page
        </button>{" "}
        Page {count(number)}
        {loading ? ", looking for more…" : next === "" && ", the last"}
      </p>
    </>
  );
}

/** The name of a session in addresses: its key, or the hash that stands for it. */
export function nameOf(session: Pick<Session, "key" | "key_hash">): string {
  return session.key ?? session.key_hash ?? "";
}

function Row({ session: s, service, now }: { session: Session; service: string; now: number }) {
  return (
    <tr data-testid="session-row" data-key={nameOf(s)} data-backend={s.backend}>
      <th scope="row" class="mono">
        <a href={href(["sessions", service, nameOf(s)])} title={nameOf(s)}>
          {shortKey(nameOf(s))}
        </a>
      </th>
      <td data-label="Backend">{s.backend ?? "none"}</td>
      <td data-label="Client" class="mono">
        {s.client ?? "not known"}
      </td>
      <td data-label="State">
        <StateBadges session={s} />
      </td>
      <td data-label="Last decided" class="number">
        {ago(s.last_seen, now)}
      </td>
    </tr>
  );
}

export function StateBadges({ session: s }: { session: Session }) {
  return (
    <span>
      {s.live ? <span class="badge good">live flow</span> : <span class="badge">silent</span>}
      {!s.confirmed && <span class="badge warn">unanswered</span>}
      {s.candidate !== undefined && !s.shared && <span class="badge accent">roaming</span>}
      {s.shared && <span class="badge warn">shared</span>}
      {s.placed && <span class="badge accent">placed</span>}
    </span>
  );
}

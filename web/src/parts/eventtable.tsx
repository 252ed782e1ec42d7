// Events, a line each.
import { useState } from "preact/hooks";
import type { Happening } from "../api/types.ts";
import { lookOf } from "../lib/eventfilter.ts";
import { count, duration, time } from "../lib/format.ts";
import { shortKey } from "../lib/hex.ts";
import { href } from "../lib/route.ts";
import { More } from "./more.tsx";
import { Empty } from "./states.tsx";
import { TableBox } from "./tablebox.tsx";

const page = 100;

export function EventTable({ events }: { events: readonly Happening[] }) {
  const [shown, setShown] = useState(page);
  if (events.length === 0) {
    return (
      <Empty title="No event is like that">
        <p>Events appear here as they happen.</p>
      </Empty>
    );
  }
  return (
    <>
      <TableBox label="Events">
        <table class="stacking log" aria-label="Events">
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col">Kind</th>
              <th scope="col">Service</th>
              <th scope="col">Session</th>
              <th scope="col">What</th>
            </tr>
          </thead>
          <tbody>
            {events.slice(0, shown).map((e) => (
              <Row key={e.id} event={e} />
            ))}
          </tbody>
        </table>
      </TableBox>
      <More
        shown={shown}
        of={events.length}
        onMore={() => {
          setShown(shown + page);
        }}
      />
    </>
  );
}

function Row({ event: e }: { event: Happening }) {
  const key = e.session?.key ?? e.session?.key_hash;
  return (
    <tr data-testid="event-row" data-kind={e.kind}>
      <td data-label="Time" class="nowrap">
        <time dateTime={e.time}>{time(e.time)}</time>
      </td>
      <td data-label="Kind">
        <span class={`badge ${lookOf(e.kind)}`}>{e.kind}</span>
      </td>
      <td data-label="Service">
        {e.service !== undefined && <a href={href(["services", e.service])}>{e.service}</a>}
      </td>
      <td data-label="Session" class="mono">
        {e.service !== undefined && key !== undefined && (
          <a href={href(["sessions", e.service, key])} title={key}>
            {shortKey(key)}
          </a>
        )}
      </td>
      <td data-label="What">
        <What event={e} />
      </td>
    </tr>
  );
}

function What({ event: e }: { event: Happening }) {
  const words = [
    e.backend === undefined ? "" : `backend ${e.backend}`,
    e.reason ?? "",
    e.detail ?? "",
    e.count === undefined ? "" : `${count(e.count)} of them`,
    e.delay === undefined ? "" : `after ${duration(e.delay)}`,
    e.actor === undefined ? "" : `by ${e.actor}${e.from === undefined ? "" : ` from ${e.from}`}`,
  ].filter((word) => word !== "");
  return (
    <div>
      {(e.old_client !== undefined || e.new_client !== undefined) && (
        <span class="mono move">
          {e.old_client !== undefined && <span class="old">{e.old_client}</span>}
          {e.new_client !== undefined && (
            <>
              <span aria-label="to"> → </span>
              <span class="new">{e.new_client}</span>
            </>
          )}{" "}
        </span>
      )}
      {words.join(", ")}
      {e.diff !== undefined && (
        <details>
          <summary>What was there (-), and what should be (+)</summary>
          <pre class="diff-text">{e.diff}</pre>
        </details>
      )}
    </div>
  );
}

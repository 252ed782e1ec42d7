// The ring's shares against what the weights ask for.
import type { Ring } from "../api/types.ts";
import { count, percent } from "../lib/format.ts";
import { TableBox } from "./tablebox.tsx";

export function Shares({ rings }: { rings: readonly Ring[] }) {
  return (
    <>
      {rings.map((ring) => (
        <RingShares key={ring.family} ring={ring} />
      ))}
    </>
  );
}

function RingShares({ ring }: { ring: Ring }) {
  const family = ring.family === "ipv4" ? "IPv4" : "IPv6";
  return (
    <div class="ring">
      <div class="share-bar" aria-hidden="true">
        {ring.shares.map(
          (s, i) =>
            s.slots > 0 && (
              <span
                key={s.backend}
                class={`share-part hue-${String(i % 8)}`}
                style={{ width: `${String(s.share * 100)}%` }}
                title={s.backend}
              >
                {s.share > 0.08 ? s.backend : ""}
              </span>
            ),
        )}
      </div>
      <TableBox label={`Ring shares ${family}`} card={false}>
        <table aria-label={`Ring shares ${family}`}>
          <thead>
            <tr>
              <th scope="col">{family}</th>
              <th scope="col" class="number">
                Weight
              </th>
              <th scope="col" class="number">
                Asked for
              </th>
              <th scope="col" class="number">
                Has
              </th>
              <th scope="col" class="number">
                Slots of {count(ring.size)}
              </th>
            </tr>
          </thead>
          <tbody>
            {ring.shares.map((s, i) => (
              <tr key={s.backend} data-testid="share" data-backend={s.backend}>
                <th scope="row">
                  <span class={`swatch hue-${String(i % 8)}`} aria-hidden="true" /> {s.backend}
                </th>
                <td class="number">{s.weight}</td>
                <td class="number">{percent(s.ideal)}</td>
                <td class="number">{percent(s.share)}</td>
                <td class="number">{count(s.slots)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </TableBox>
    </div>
  );
}

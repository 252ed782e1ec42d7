// The picture in words.
import { shortKey } from "../../lib/hex.ts";
import { href } from "../../lib/route.ts";
import type { Scene } from "../../lib/scene.ts";
import { TableBox } from "../../parts/tablebox.tsx";

export function SceneTable({ service, scene }: { service: string; scene: Scene }) {
  return (
    <details class="card">
      <summary>
        <h2>The same in words</h2>
      </summary>
      <TableBox label="Sessions in the picture" card={false}>
        <table class="stacking" aria-label="Sessions in the picture">
          <thead>
            <tr>
              <th scope="col">Session</th>
              <th scope="col">Client now</th>
              <th scope="col">Before</th>
              <th scope="col">Backend</th>
              <th scope="col" class="number">
                Roams seen
              </th>
            </tr>
          </thead>
          <tbody>
            {scene.lanes.map((lane) => (
              <tr key={lane.key} data-testid="roaming-session" data-key={lane.key}>
                <th scope="row" class="mono">
                  <a href={href(["sessions", service, lane.key])}>{shortKey(lane.key)}</a>
                </th>
                <td data-label="Client now" class="mono">
                  {lane.client}
                </td>
                <td data-label="Before" class="mono">
                  {lane.ghost === null ? "–" : lane.ghost.client}
                  {lane.ghost?.deleted === true && " (entry deleted)"}
                </td>
                <td data-label="Backend">{lane.backend}</td>
                <td data-label="Roams seen" class="number">
                  {lane.roams}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </TableBox>
    </details>
  );
}

// One session: a client that moves along its line, and a key that stays.
import type { Lane as Of } from "../../lib/scene.ts";
import type { Layout } from "./picture.tsx";

interface Props {
  lane: Of;
  y: number;
  layout: Layout;
  hue: number;
}

export function Lane({ lane, y, layout, hue }: Props) {
  const end = layout.keys - layout.keyWidth / 2;
  const at = (place: number) => layout.left + place * layout.step;
  const x = at(lane.place);
  const letters = Math.floor((layout.keyWidth - 12) / 7.4);
  return (
    <g class={`pic-lane hue-${String(hue)}`}>
      <line class="pic-track" x1={layout.left} x2={end} y1={y} y2={y} />
      {/* A transform, unlike a line's ends, can move in a transition. */}
      <line
        class="pic-thread"
        x1={0}
        x2={end - layout.left}
        y1={0}
        y2={0}
        style={{
          transform: `translate(${String(x)}px, ${String(y)}px) scaleX(${String((end - x) / (end - layout.left))})`,
        }}
      />
      {lane.ghost !== null && (
        <g
          class={`pic-ghost ${lane.ghost.deleted ? "deleted" : ""}`}
          key={`${lane.key} ${String(lane.roams)}`}
        >
          <circle cx={at(lane.ghost.place)} cy={y} r={7} />
          {lane.ghost.deleted && <path d={`M${at(lane.ghost.place) - 4} ${y - 4}l8 8m0 -8l-8 8`} />}
        </g>
      )}
      <circle
        class="pic-client"
        r={8}
        style={{ transform: `translate(${String(x)}px, ${String(y)}px)` }}
      />
      <g
        class="pic-moving"
        style={{
          transform: `translate(${String(layout.narrow ? layout.left : x)}px, ${String(y)}px)`,
        }}
      >
        <text class="pic-address" x={-8} y={layout.narrow ? -19 : -14} key={lane.client}>
          {lane.client}
        </text>
      </g>
      <g class="pic-key">
        <rect x={end} y={y - 14} width={layout.keyWidth} height={28} rx={6} />
        <text x={layout.keys} y={y + 4.5} text-anchor="middle">
          {lane.key.slice(0, letters)}
        </text>
      </g>
    </g>
  );
}

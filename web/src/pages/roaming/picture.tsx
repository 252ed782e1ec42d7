// Sessions as lines, from the clients that move to the backends that stay.
import { useEffect, useRef, useState } from "preact/hooks";
import { places, type Scene } from "../../lib/scene.ts";
import { Lane } from "./lane.tsx";

interface Props {
  scene: Scene;
  backends: readonly string[];
  paused: boolean;
}

const lane = 58; // height of one
const top = 46;

/** Where things are, in a picture of some width. */
export interface Layout {
  width: number;
  left: number; // the first place of clients
  step: number; // from one to the next
  keys: number; // the middle of the keys' boxes
  keyWidth: number;
  backends: number; // the left edge of the backends
  narrow: boolean; // too narrow for addresses beside each other
}

function layoutOf(width: number): Layout {
  const narrow = width < 640;
  const keyWidth = narrow ? 78 : 148;
  const keys = narrow ? width * 0.55 : width * 0.56;
  const left = 18;
  const room = keys - keyWidth / 2 - left - (narrow ? 26 : 178);
  return {
    width,
    left,
    step: room / (places - 1),
    keys,
    keyWidth,
    backends: width - (narrow ? 56 : 130),
    narrow,
  };
}

export function Picture({ scene, backends, paused }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  useEffect(() => {
    const element = box.current;
    if (element === null) {
      return undefined;
    }
    const resized = new ResizeObserver(() => {
      setWidth(Math.max(element.clientWidth, 300));
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
    };
  }, []);
  const layout = layoutOf(width);
  const height = top + scene.lanes.length * lane + 10;
  const names = [...new Set([...backends, ...scene.lanes.map((l) => l.backend)])];
  const shown = names.filter(
    (n) => backends.length <= 12 || scene.lanes.some((l) => l.backend === n),
  );
  const yOf = (name: string) => {
    const i = Math.max(0, shown.indexOf(name));
    return top + ((i + 0.5) * (height - top - 10)) / Math.max(shown.length, 1);
  };
  return (
    <div class={`picture card ${paused ? "paused" : ""}`} ref={box}>
      <svg
        width={width}
        height={height}
        viewBox={`0 0 ${String(width)} ${String(height)}`}
        role="img"
        aria-label={`${String(scene.lanes.length)} sessions between their clients and backends. ${String(scene.roams)} roams were seen; the table below says the same in words.`}
        data-testid="roaming-picture"
      >
        <text class="pic-title" x={layout.left - 8} y={22}>
          {layout.narrow ? "Clients" : "Clients move"}
        </text>
        <text class="pic-title" x={layout.keys} y={22} text-anchor="middle">
          {layout.narrow ? "Key" : "The key is the same"}
        </text>
        <text class="pic-title" x={layout.backends} y={22}>
          {layout.narrow ? "Stays" : "Backends stay"}
        </text>
        {scene.lanes.map((one, i) => (
          <path
            key={one.key}
            class={`pic-bound hue-${String(hueOf(names, one.backend))}`}
            d={curve(layout, top + (i + 0.5) * lane, yOf(one.backend))}
          />
        ))}
        {scene.lanes.map((one, i) => (
          <Lane
            key={one.key}
            lane={one}
            y={top + (i + 0.5) * lane}
            layout={layout}
            hue={hueOf(names, one.backend)}
          />
        ))}
        {shown.map((name) => (
          <g key={name} class={`pic-backend hue-${String(hueOf(names, name))}`}>
            <rect
              x={layout.backends}
              y={yOf(name) - 17}
              width={width - layout.backends - 8}
              height={34}
              rx={7}
            />
            <text x={layout.backends + 12} y={yOf(name) + 5}>
              {name}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}

function hueOf(names: readonly string[], name: string): number {
  return Math.max(0, names.indexOf(name)) % 8;
}

/** From a key's box to its backend. */
function curve(layout: Layout, from: number, to: number): string {
  const [a, b] = [layout.keys + layout.keyWidth / 2, layout.backends];
  const middle = (a + b) / 2;
  return `M${a} ${from}C${middle} ${from} ${middle} ${to} ${b} ${to}`;
}

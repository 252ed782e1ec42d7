// A payload, byte by byte, with marks on it. Where it can be chosen from, a range is
// dragged over it, or made with the arrow keys and Shift.
import { useMemo, useRef, useState } from "preact/hooks";
import { markAt, rangeText, rowsOf, span, type Mark } from "../lib/bytes.ts";
import { hexByte, printable } from "../lib/hex.ts";
import { ByteRows } from "./byterows.tsx";

export interface Cell {
  at: number;
  text: string;
  label: string;
  mark: Mark | undefined;
}

interface Props {
  label: string;
  /** null for a byte of which nothing is known. */
  bytes: readonly (number | null)[];
  marks: readonly Mark[];
  /** Makes bytes something to choose. */
  onSelect?: (offset: number, length: number) => void;
  testid?: string;
}

const steps: Record<string, number> = {
  ArrowRight: 1,
  ArrowLeft: -1,
  ArrowDown: 16,
  ArrowUp: -16,
};

export function ByteGrid({ label, bytes, marks, onSelect, testid }: Props) {
  const [focus, setFocus] = useState(0);
  const anchor = useRef<number | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => rowsOf(bytes.length, marks), [bytes.length, marks]);
  const here = Math.min(focus, Math.max(0, bytes.length - 1));

  const cellOf = (at: number): Cell => {
    const byte = bytes[at] ?? null;
    const mark = markAt(marks, at);
    const shown = byte === null ? "unknown" : hexByte(byte);
    return {
      at,
      text: byte === null ? "··" : hexByte(byte),
      label: `Byte ${at}, ${shown}${byte === null ? "" : ` ${printable(byte)}`}${mark === undefined ? "" : `, ${mark.label}`}`,
      mark,
    };
  };
  const select = (from: number, to: number) => {
    const range = span(from, to);
    onSelect?.(range.offset, range.length);
  };
  const move = (event: KeyboardEvent) => {
    const step = steps[event.key];
    const home = { Home: 0, End: bytes.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      anchor.current = here;
      select(here, here);
      return;
    }
    if (step === undefined && home === undefined) {
      return;
    }
    event.preventDefault();
    const to = home ?? here + (step ?? 0);
    if (to < 0 || to >= bytes.length) {
      return;
    }
    if (event.shiftKey) {
      anchor.current ??= here;
      select(anchor.current, to);
    } else {
      anchor.current = null;
    }
    setFocus(to);
    box.current?.querySelector<HTMLElement>(`[data-at="${String(to)}"]`)?.focus();
  };

  const drag =
    onSelect === undefined
      ? {}
      : {
          onKeyDown: move,
          onFocusIn: (event: FocusEvent) => {
            const at = event.target instanceof HTMLElement ? event.target.dataset["at"] : undefined;
            if (at !== undefined) {
              setFocus(Number(at));
            }
          },
          onPointerDown: (event: PointerEvent) => {
            const at = byteUnder(event);
            if (at !== null) {
              anchor.current = at;
              setFocus(at);
              select(at, at);
            }
          },
          onPointerMove: (event: PointerEvent) => {
            const at = event.buttons === 0 ? null : byteUnder(event);
            if (at !== null && anchor.current !== null) {
              select(anchor.current, at);
            }
          },
        };
  return (
    <div
      class={`bytes ${onSelect === undefined ? "" : "choosing"}`}
      role="grid"
      aria-label={label}
      aria-multiselectable={onSelect === undefined ? undefined : true}
      aria-readonly
      tabIndex={onSelect === undefined ? 0 : undefined}
      ref={box}
      data-testid={testid}
      {...drag}
    >
      <ByteRows rows={rows} cellOf={cellOf} focus={here} choosing={onSelect !== undefined} />
    </div>
  );
}

/** The byte below a pointer, also where the pointer was captured by another. */
function byteUnder(event: PointerEvent): number | null {
  const element = document.elementFromPoint(event.clientX, event.clientY);
  const at = element?.closest<HTMLElement>("[data-at]")?.dataset["at"];
  return at === undefined ? null : Number(at);
}

/** What marks say, for those who do not see them. */
export function MarkList({ marks }: { marks: readonly Mark[] }) {
  return marks.length === 0 ? null : (
    <ul class="legend">
      {marks.map((m) => (
        <li key={`${m.label} ${String(m.offset)}`} class={`tone-${String(m.tone % 6)}`}>
          <span class="swatch" aria-hidden="true" /> {m.label}: {rangeText(m.offset, m.length)}
        </li>
      ))}
    </ul>
  );
}

// The rows of a payload's picture.
import type { Row } from "../lib/bytes.ts";
import type { Cell } from "./bytes.tsx";

interface Props {
  rows: readonly Row[];
  cellOf: (at: number) => Cell;
  focus: number;
  choosing: boolean;
}

export function ByteRows({ rows, cellOf, focus, choosing }: Props) {
  return (
    <>
      {rows.map((row) =>
        row.kind === "gap" ? (
          <div class="byte-gap" role="row" key={`gap ${String(row.offset)}`}>
            <span role="gridcell">⋯</span>
          </div>
        ) : (
          <div class="byte-row" role="row" key={row.offset}>
            <span class="byte-offset" role="rowheader">
              {row.offset}
            </span>
            {Array.from({ length: row.length }, (_, i) => (
              <Byte
                key={i}
                cell={cellOf(row.offset + i)}
                focus={row.offset + i === focus}
                choosing={choosing}
              />
            ))}
          </div>
        ),
      )}
    </>
  );
}

function Byte({ cell, focus, choosing }: { cell: Cell; focus: boolean; choosing: boolean }) {
  const tone = cell.mark === undefined ? "" : `marked tone-${String(cell.mark.tone % 6)}`;
  return (
    <span
      class={`byte ${tone}`}
      role="gridcell"
      data-at={cell.at}
      aria-label={cell.label}
      aria-selected={choosing ? cell.mark !== undefined : undefined}
      tabIndex={choosing ? (focus ? 0 : -1) : undefined}
    >
      {cell.text}
    </span>
  );
}

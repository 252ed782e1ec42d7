// Which bytes of a payload are shown, and how they are marked.

/** A run of bytes that something is said about. */
export interface Mark {
  offset: number;
  length: number;
  /** Counts the fields, so that neighbours look different. */
  tone: number;
  label: string;
}

export const rowBytes = 16;

/** A row of the picture: the bytes from an offset, or a gap that was left out. */
export type Row =
  { kind: "bytes"; offset: number; length: number } | { kind: "gap"; offset: number };

/**
 * The rows that show a payload of some length. Of a long one the beginning is shown
 * and what is marked, with the rows beside it.
 */
export function rowsOf(length: number, marks: readonly Mark[], most = 32): Row[] {
  const total = Math.ceil(length / rowBytes);
  const rows: Row[] = [];
  let skipped = false;
  for (let row = 0; row < total; row++) {
    const offset = row * rowBytes;
    if (total > most && row >= most / 2 && !isNear(offset, marks)) {
      skipped = true;
      continue;
    }
    if (skipped) {
      rows.push({ kind: "gap", offset });
      skipped = false;
    }
    rows.push({ kind: "bytes", offset, length: Math.min(rowBytes, length - offset) });
  }
  if (skipped) {
    rows.push({ kind: "gap", offset: length });
  }
  return rows;
}

function isNear(offset: number, marks: readonly Mark[]): boolean {
  return marks.some(
    (m) => offset + 2 * rowBytes > m.offset && offset - rowBytes < m.offset + m.length,
  );
}

/** The mark on a byte; of several the first. */
export function markAt(marks: readonly Mark[], at: number): Mark | undefined {
  return marks.find((m) => at >= m.offset && at < m.offset + m.length);
}

/** A range that two ends span, whichever of them is first. */
export function span(a: number, b: number): { offset: number; length: number } {
  return { offset: Math.min(a, b), length: Math.abs(a - b) + 1 };
}

/** In words: which bytes these are. */
export function rangeText(offset: number, length: number): string {
  return length === 1
    ? `byte ${offset}`
    : `bytes ${offset} to ${offset + length - 1}, ${length} of them`;
}

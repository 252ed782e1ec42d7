import assert from "node:assert/strict";
import { test } from "node:test";
import { markAt, rangeText, rowsOf, span, type Mark } from "../src/lib/bytes.ts";

const mark = (offset: number, length: number): Mark => ({ offset, length, tone: 0, label: "key" });

test("a short payload is shown whole, the last row as long as it is", () => {
  assert.deepEqual(rowsOf(20, []), [
    { kind: "bytes", offset: 0, length: 16 },
    { kind: "bytes", offset: 16, length: 4 },
  ]);
  assert.deepEqual(rowsOf(0, []), []);
});

test("of a long payload nothing is left out that is marked", () => {
  const rows = rowsOf(65_400, [mark(40_000, 8)]);
  assert.ok(rows.length < 30, `${rows.length} rows`);
  assert.ok(
    rows.some((r) => r.kind === "bytes" && r.offset <= 40_000 && r.offset + r.length >= 40_008),
  );
  assert.equal(rows.filter((r) => r.kind === "gap").length, 2);
});

test("a drag to the left chooses the same as one to the right", () => {
  assert.deepEqual(span(1, 8), { offset: 1, length: 8 });
  assert.deepEqual(span(8, 1), { offset: 1, length: 8 });
  assert.deepEqual(span(3, 3), { offset: 3, length: 1 });
});

test("ranges are named by their ends", () => {
  assert.equal(rangeText(1, 8), "bytes 1 to 8, 8 of them");
  assert.equal(rangeText(4, 1), "byte 4");
  assert.equal(markAt([mark(1, 2)], 2)?.label, "key");
  assert.equal(markAt([mark(1, 2)], 3), undefined);
});

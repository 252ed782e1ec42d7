import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHex, printable, shortKey, toHex } from "../src/lib/hex.ts";

test("what tools print can be pasted as it is", () => {
  for (const text of ["48 8c:31", "0x48 0x8C 0x31", "488c31", "48, 8c,\n31\t", "48-8c-31"]) {
    assert.deepEqual(parseHex(text), { ok: true, bytes: [0x48, 0x8c, 0x31] }, text);
  }
  assert.deepEqual(parseHex(""), { ok: true, bytes: [] });
});

test("what is no hex is told, and where", () => {
  assert.deepEqual(parseHex("48 8"), { ok: false, error: "the last byte has only one digit" });
  assert.deepEqual(parseHex("48 <b>"), { ok: false, error: '"<" is no hex digit' });
});

test("bytes go to hex and back", () => {
  const bytes = Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(parseHex(toHex(bytes)), { ok: true, bytes });
  assert.equal(printable(0x41), "A");
  assert.equal(printable(0x00), ".");
  assert.equal(shortKey("8c31f2d0a4b7e91500"), "8c31f2d0a4b7e91500");
  assert.equal(shortKey("8c31f2d0a4b7e9150011"), "8c31f2d0a4b7e915…");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { isKey, parseSearch } from "../src/lib/search.ts";

test("keys, hashes and clients are told from each other", () => {
  const asked: [string, object][] = [
    ["", {}],
    ["8C31", { key_prefix: "8c31" }],
    ["8c 31 f2", { key_prefix: "8c31f2" }],
    ["0x8c31", { key_prefix: "8c31" }],
    ["h:5b0c9a7be1f3d244", { key_hash: "h:5b0c9a7be1f3d244" }],
    ["198.51.100.7", { client: "198.51.100.7" }],
    ["198.51.100.7:4000", { client: "198.51.100.7:4000" }],
    ["2001:db8::7", { client: "2001:db8::7" }],
    ["[2001:db8::7]:4000", { client: "[2001:db8::7]:4000" }],
  ];
  for (const [text, query] of asked) {
    assert.deepEqual(parseSearch(text), { ok: true, query }, text);
  }
  assert.equal(parseSearch("8c3").ok, false);
  assert.equal(parseSearch("<script>").ok, false);
});

test("only what names one session is a key", () => {
  assert.ok(isKey("8c31") && isKey("h:5b0c9a7be1f3d244"));
  assert.ok(!isKey("8c3") && !isKey("") && !isKey("h:5b"));
});

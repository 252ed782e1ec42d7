import assert from "node:assert/strict";
import { test } from "node:test";
import { differences, inWords, mergePatch, same } from "../src/lib/patch.ts";

test("a patch has what differs, and null for what goes", () => {
  const from = {
    slots: 4093,
    stale: "never",
    key: { offset: 1, length: 8, mask: "ff" },
    allow: ["a"],
  };
  const to = { slots: 4093, stale: "on-reply", key: { offset: 1, length: 9 }, deny: ["b"] };
  assert.deepEqual(mergePatch(from, to), {
    stale: "on-reply",
    key: { length: 9, mask: null },
    allow: null,
    deny: ["b"],
  });
  assert.deepEqual(mergePatch(from, { ...from }), {});
});

test("a key of variants takes the place of a short one", () => {
  const variants = [{ fields: [{ offset: 1, length: 8 }] }];
  assert.deepEqual(mergePatch({ key: { offset: 1, length: 8 } }, { key: { variants } }), {
    key: { offset: null, length: null, variants },
  });
});

test("the second editor is told each member that differs", () => {
  assert.deepEqual(differences({ a: 1, b: [1], c: "x" }, { a: 1, b: [1, 2], d: 0 }), [
    { name: "b", before: [1], after: [1, 2] },
    { name: "c", before: "x", after: undefined },
    { name: "d", before: undefined, after: 0 },
  ]);
  assert.ok(same({ a: 1, b: { c: [1] } }, { b: { c: [1] }, a: 1 }));
  assert.equal(inWords(undefined), "nothing");
  assert.equal(inWords([1, 2]), "[1,2]");
});

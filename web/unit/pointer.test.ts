import assert from "node:assert/strict";
import { test } from "node:test";
import { at, partsOf, pointer, sortFaults } from "../src/lib/pointer.ts";

test("pointers are made and taken apart", () => {
  assert.equal(pointer("listen", 0, "port"), "/listen/0/port");
  assert.equal(pointer("a/b", "c~d"), "/a~1b/c~0d");
  assert.deepEqual(partsOf("/a~1b/c~0d"), ["a/b", "c~d"]);
  assert.equal(at({ listen: [{ port: 7 }] }, "/listen/0/port"), 7);
  assert.equal(at({ listen: [] }, "/listen/0/port"), undefined);
});

test("each fault is shown at its field, or at the nearest one above", () => {
  const fields = ["/name", "/key/length", "/key", "/listen/1/port"];
  const { fields: told, rest } = sortFaults(
    [
      { pointer: "/key/length", detail: "must be 1 to 256" },
      { pointer: "/key/mask", detail: "is too short" },
      { pointer: "/listen/1/port", detail: "is taken" },
      { pointer: "/listen/1/port", detail: "is odd" },
      { pointer: "/wieght", detail: "is not a known member" },
      { pointer: "", detail: "is not JSON" },
      { header: "If-Match", detail: "is missing" },
    ],
    fields,
  );
  assert.deepEqual(Object.fromEntries(told), {
    "/key/length": "must be 1 to 256",
    "/key": "is too short",
    "/listen/1/port": "is taken; is odd",
  });
  assert.deepEqual(
    rest.map((fault) => fault.detail),
    ["is not a known member", "is not JSON", "is missing"],
  );
});

test("/listen/10 is not below /listen/1", () => {
  assert.equal(sortFaults([{ pointer: "/listen/10", detail: "x" }], ["/listen/1"]).rest.length, 1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring } from "../src/live/ring.ts";
import { Messages } from "../src/live/stream.ts";

test("messages are whole however the stream is cut", () => {
  const text =
    ': roamlb events\n\nid: a-1\nevent: roam\ndata: {"x":1}\n\n: \n\nid: a-2\nevent: new\ndata: {}\n\n';
  const want = [
    { id: "a-1", event: "roam", data: '{"x":1}' },
    { id: "a-2", event: "new", data: "{}" },
  ];
  for (let size = 1; size <= text.length; size++) {
    const messages = new Messages();
    const got = [];
    for (let i = 0; i < text.length; i += size) {
      got.push(...messages.add(text.slice(i, i + size)));
    }
    assert.deepEqual(got, want, `pieces of ${size}`);
  }
});

test("a ring keeps the last, in their order, and no more", () => {
  const ring = new Ring<number>(3);
  assert.deepEqual(ring.list(), []);
  for (let i = 1; i <= 1000; i++) {
    ring.add(i);
  }
  assert.deepEqual(ring.list(), [998, 999, 1000]);
  assert.equal(ring.length, 3);
});

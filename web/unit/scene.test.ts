import assert from "node:assert/strict";
import { test } from "node:test";
import type { Happening, Session } from "../src/api/types.ts";
import { begin, next, rest } from "../src/lib/scene.ts";

const session = (key: string, backend: string): Session => ({
  service: "vpn",
  key,
  backend,
  client: `198.51.100.7:${key}`,
  live: true,
  confirmed: true,
  shared: false,
  placed: false,
  last_seen: "2026-03-01T10:00:00Z",
});
const event = (kind: string, key: string, backend: string): Happening => ({
  id: `${kind}${key}`,
  kind,
  time: "2026-03-01T10:00:00Z",
  service: "vpn",
  session: { key },
  backend,
  old_client: `198.51.100.7:${key}`,
  new_client: "203.0.113.9:5000",
});

test("the picture begins with as many backends as there are", () => {
  const sessions = ["01", "02", "03", "04"].map((key) => session(key, key === "04" ? "b" : "a"));
  const scene = begin(sessions, 2);
  assert.deepEqual(scene.lanes.map((l) => l.backend).sort(), ["a", "b"]);
});

test("a client that roams moves, its backend stays, its old entry is a ghost until deleted", () => {
  const before = begin([session("01", "a")], 8);
  const moved = next(before, event("roam", "01", "a"), 1_000_000, 8);
  const [lane] = moved.lanes;
  assert.notEqual(lane?.place, before.lanes[0]?.place);
  assert.deepEqual([lane?.backend, lane?.client, lane?.roams], ["a", "203.0.113.9:5000", 1]);
  assert.deepEqual([moved.roams, moved.kept], [1, 1]);
  assert.equal(lane?.ghost?.deleted, false);
  const cleaned = next(moved, event("stale-deleted", "01", "a"), 1_000_100, 8);
  assert.equal(cleaned.lanes[0]?.ghost?.deleted, true);
});

test("all roams are counted, but a lane moves no faster than eyes follow", () => {
  let scene = begin([session("01", "a")], 8);
  for (let i = 0; i < 100; i++) {
    scene = next(scene, event("roam", "01", "a"), 1_000_000 + i, 8);
  }
  assert.deepEqual([scene.roams, scene.lanes[0]?.roams], [100, 1]);
  scene = next(scene, event("roam", "01", "a"), 1_000_000 + rest + 200, 8);
  assert.equal(scene.lanes[0]?.roams, 2);
});

test("a picture that is full takes in who roams for one that stands still", () => {
  const full = begin([session("01", "a"), session("02", "b")], 2);
  const scene = next(full, event("roam", "03", "a"), 100_000, 2);
  assert.equal(scene.lanes.length, 2);
  assert.ok(scene.lanes.some((l) => l.key === "03"));
});

test("a backend that changed is not counted as kept", () => {
  const scene = next(begin([session("01", "a")], 8), event("roam", "01", "b"), 1_000_000, 8);
  assert.deepEqual([scene.roams, scene.kept], [1, 0]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Happening, Stats } from "../src/api/types.ts";
import { alarmsOf, type Signs } from "../src/live/alarms.ts";

const now = Date.parse("2026-03-01T10:00:00Z");
const event = (kind: string, secondsAgo: number, service?: string): Happening => ({
  id: `${kind} ${secondsAgo}`,
  kind,
  time: new Date(now - secondsAgo * 1000).toISOString(),
  ...(service === undefined ? {} : { service }),
});
const calm: Signs = {
  stats: null,
  rises: { lost: 0, nobody: 0, missed: 0 },
  readiness: { status: "ok", reasons: [] },
  events: [],
  now,
};
const names = (signs: Partial<Signs>) => alarmsOf({ ...calm, ...signs }).map((a) => a.name);

function withBackends(...states: ("up" | "drain" | "down")[]): Stats {
  const backends = states.map((state, i) => ({
    name: `b${i}`,
    state,
    weight: 1,
    packets: 0,
    bytes: 0,
  }));
  return { services: [{ name: "vpn", backends }], queues: [] } as unknown as Stats;
}

test("nothing is wrong where nothing is", () => {
  assert.deepEqual(names({}), []);
  assert.deepEqual(names({ stats: withBackends("up", "down") }), []);
});

test("drift stays until it is repaired, however long ago it was", () => {
  assert.deepEqual(names({ events: [event("drift", 9_000)] }), ["drift"]);
  assert.deepEqual(names({ events: [event("drift", 9_000), event("repaired", 8_999)] }), []);
  assert.deepEqual(names({ events: [event("repaired", 30), event("drift", 20)] }), ["drift"]);
});

test("drift that was repaired at once is told for a while", () => {
  const events = [event("drift", 20), event("repaired", 20)];
  const [alarm] = alarmsOf({ ...calm, events });
  assert.deepEqual([alarm?.name, alarm?.bad], ["drift", false]);
});

test("a service that nobody serves is told by its name", () => {
  for (const stats of [withBackends(), withBackends("down"), withBackends("drain", "down")]) {
    const [alarm] = alarmsOf({ ...calm, stats });
    assert.deepEqual([alarm?.name, alarm?.bad, alarm?.services], ["no-backend", true, ["vpn"]]);
  }
  assert.deepEqual(names({ rises: { lost: 0, nobody: 4, missed: 0 } }), ["no-backend"]);
});

test("full tables and overflow are told for a while", () => {
  assert.deepEqual(names({ events: [event("table-full", 60, "vpn")] }), ["table-full"]);
  assert.deepEqual(names({ events: [event("evicted", 60, "vpn")] }), ["table-full"]);
  assert.deepEqual(names({ events: [event("overflow", 60)] }), ["overflow"]);
  assert.deepEqual(names({ events: [event("overflow", 600), event("table-full", 600)] }), []);
  assert.deepEqual(names({ rises: { lost: 1, nobody: 0, missed: 1 } }), ["overflow", "missed"]);
});

test("what is worse comes first", () => {
  const events = [event("overflow", 1), event("drift", 1)];
  const readiness = { status: "degraded" as const, reasons: ["write state: no space"] };
  assert.deepEqual(names({ events, readiness }), ["degraded", "drift", "overflow"]);
});

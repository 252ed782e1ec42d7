import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stats } from "../src/api/types.ts";
import { lookAt, ratesOf, serviceRates, still } from "../src/live/rates.ts";

function stats(n: {
  packets: number;
  roams: number;
  deleted: number;
  read: number;
  copies?: number;
  started?: string;
}): Stats {
  const backend = { name: "a", state: "up" as const, weight: 1, packets: n.packets, bytes: 0 };
  const queue = { queue: 0, packets: n.read, bursts: 0, verdicts: 0, no_key: 0, nobody: 0 };
  const service = { name: "vpn", sessions: 1, unanswered: 0, shared: 0, waiting: 0, takeovers: 0 };
  return {
    started: n.started ?? "2026-03-01T00:00:00Z",
    services: [
      { ...service, roams: n.roams, deleted: n.deleted, joins: 0, evicted: 0, backends: [backend] },
    ],
    queues: [{ ...queue, dropped: 0, missed: 0, crowded: 0, keeper_answers: 0 }],
    copies: n.copies ?? 0,
    lost_copies: 0,
    flows: 0,
    pending: 0,
    lost_facts: 0,
    lost_events: 0,
    kernel_drops: 0,
    dumps: 0,
  };
}

test("rates are what was counted between two looks, a second", () => {
  const before = lookAt(stats({ packets: 100, roams: 10, deleted: 5, read: 200 }), 1_000);
  const after = lookAt(stats({ packets: 140, roams: 14, deleted: 6, read: 260 }), 3_000);
  assert.deepEqual(ratesOf(before, after), { flows: 20, packets: 30, roams: 2, deletions: 0.5 });
  const copied = lookAt(
    stats({ packets: 140, roams: 14, deleted: 6, read: 200, copies: 60 }),
    3_000,
  );
  assert.equal(ratesOf(before, copied)?.packets, 30);
  assert.deepEqual(serviceRates(before, after, "vpn"), {
    flows: 20,
    packets: 0,
    roams: 2,
    deletions: 0.5,
  });
  assert.deepEqual(serviceRates(before, after, "gone"), still);
  assert.deepEqual(serviceRates(null, after, "vpn"), still);
});

test("over a restart of the daemon, or in no time, there is no rate", () => {
  const before = lookAt(stats({ packets: 100, roams: 0, deleted: 0, read: 0 }), 1_000);
  const again = stats({
    packets: 3,
    roams: 0,
    deleted: 0,
    read: 0,
    started: "2026-03-02T00:00:00Z",
  });
  assert.equal(ratesOf(before, lookAt(again, 2_000)), null);
  assert.equal(ratesOf(before, before), null);
});

test("a backend that goes takes its counter along, and no rate is below 0", () => {
  const before = lookAt(stats({ packets: 100, roams: 4, deleted: 0, read: 0 }), 1_000);
  const after = lookAt(stats({ packets: 10, roams: 5, deleted: 0, read: 0 }), 2_000);
  assert.deepEqual(ratesOf(before, after), { flows: 0, packets: 0, roams: 1, deletions: 0 });
});

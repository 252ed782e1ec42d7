import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "../src/api/types.ts";
import { mergePatch } from "../src/lib/patch.ts";
import { draftOf, newDraft, serviceOf } from "../src/pages/service/draft.ts";
import { pointersOf } from "../src/pages/service/pointers.ts";

const service: Service = {
  name: "vpn",
  protocol: "udp",
  listen: [{ address: "192.0.2.10", port: 1194 }],
  key: { offset: 1, length: 8, fallback: "source" },
  pinning: "auto",
  datapath: "queue",
  slots: 4093,
  session_ttl: "2h",
  max_sessions: 1_000_000,
  stale: "on-reply",
  confirm_timeout: "10s",
  snat: "none",
  no_backend: "reject",
  all_down: "",
  drain_timeout: "10m",
  health: { kind: "http", path: "/live", expect: { status: "204" }, source: "192.0.2.1" },
  backends: [],
  effective: { pinning: "session", reason: "nft can load the key" },
};

test("a service that nobody touched in its form is not changed", () => {
  const before = serviceOf(draftOf(service));
  assert.deepEqual(mergePatch(before, serviceOf(draftOf(service))), {});
  assert.deepEqual(before["health"], {
    kind: "http",
    path: "/live",
    expect: { status: "204" },
    sources: ["192.0.2.1"],
  });
  assert.equal(before["slots"], 4093);
});

test("what is typed wrong is sent as it is, for the server to name it", () => {
  const draft = draftOf(service);
  draft.plain.slots = "many";
  draft.key.variants = [
    { name: "", match: [], fields: [{ offset: "1", length: "300", mask: "" }] },
  ];
  const patch = mergePatch(serviceOf(draftOf(service)), serviceOf(draft));
  assert.deepEqual(patch, { slots: "many", key: { length: 300 } });
});

test("what a form sends of a service is all of it, for the preview", () => {
  const { backends, effective, protocol, ...rest } = service;
  assert.deepEqual([backends, effective, protocol], [service.backends, service.effective, "udp"]);
  const sent = serviceOf(draftOf({ ...service, datapath: "kernel" }));
  assert.equal(sent["datapath"], "kernel");
  assert.deepEqual(Object.keys(sent).sort(), Object.keys(rest).sort());
});

test("what is emptied gets its default", () => {
  const draft = draftOf(service);
  draft.plain.session_ttl = "";
  assert.deepEqual(mergePatch(serviceOf(draftOf(service)), serviceOf(draft)), {
    session_ttl: null,
  });
});

test("each row of a form has fields for its errors", () => {
  const draft = newDraft();
  draft.listen.push({ address: "", port: "" });
  const pointers = pointersOf(draft);
  for (const at of ["/name", "/listen/1/port", "/key/length", "/backends/0/addresses", "/slots"]) {
    assert.ok(pointers.includes(at), at);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { href, parseRoute } from "../src/lib/route.ts";

test("an address is read as it was written", () => {
  const to = href(["sessions", "vpn", "h:5b0c9a7be1f3d244"], {
    client: "[2001:db8::7]:4000",
    key: "",
  });
  assert.equal(to, "#/sessions/vpn/h:5b0c9a7be1f3d244?client=%5B2001%3Adb8%3A%3A7%5D%3A4000");
  const route = parseRoute(to);
  assert.deepEqual(route.path, ["sessions", "vpn", "h:5b0c9a7be1f3d244"]);
  assert.deepEqual([...route.query], [["client", "[2001:db8::7]:4000"]]);
});

test("whatever stands in an address is a route", () => {
  assert.deepEqual(parseRoute("").path, []);
  assert.deepEqual(parseRoute("#").path, []);
  assert.deepEqual(parseRoute("#//services//%zz/%3Cb%3E").path, ["services", "%zz", "<b>"]);
});

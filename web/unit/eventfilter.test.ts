import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { kinds } from "../src/lib/eventfilter.ts";

// Run in web/. A kind that has no box there cannot be chosen.
test("every kind of event that the daemon tells can be chosen", () => {
  const told = readFileSync("../event/event.go", "utf8").matchAll(/Kind = "([a-z-]+)"/g);
  assert.deepEqual([...kinds].sort(), Array.from(told, (match) => match[1]).sort());
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { count, duration, plural, rate } from "../src/lib/format.ts";

test("numbers and times are short", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.equal(rate(0), "0");
  assert.equal(rate(1.26), "1.3");
  assert.equal(rate(45_678.2), "45,678");
  assert.equal(duration(0.00009), "90 µs");
  assert.equal(duration(0.25), "250 ms");
  assert.equal(duration(59.6), "1 min");
  assert.equal(duration(7_500), "2 h 5 min");
  assert.equal(duration(90_000), "1 d 1 h");
  assert.equal(plural(1, "session"), "1 session");
});

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { meaningOf } from "../src/lib/nftwords.ts";
import { piecesOf, RulesetReader } from "../src/lib/ruleset.ts";

const elements = Array.from({ length: 5_000 }, (_, i) => `\t\t\t     ${i} : 1,`).join("\n");
const text = `table inet roamlb {
\tmap slots4-vpn {
\t\ttype 0 : 0
\t\telements = { 0 : 1,
${elements}
\t\t\t     9999 : 1 }
\t}

\tchain steer4-vpn {
\t\tct original zone set @th,72,64 map @sessions4-vpn accept comment "vpn: a known session"
\t}
}
`;

test("a map with millions of elements is folded, and what comes after is not lost", () => {
  const reader = new RulesetReader(1_000);
  for (let i = 0; i < text.length; i += 777) {
    reader.add(text.slice(i, i + 777));
  }
  reader.end();
  assert.ok(reader.lines.length < 20, `${reader.lines.length} lines`);
  assert.ok(reader.lines.some((l) => /… \d{4} more lines/.test(l.text)));
  const rule = reader.lines.find((l) => l.text.includes("accept"));
  assert.equal(rule?.block, "chain steer4-vpn");
  assert.equal(reader.lines.at(-1)?.text, "}");
});

test("no more lines are kept than were asked for", () => {
  const reader = new RulesetReader(3);
  reader.add(text);
  assert.equal(reader.lines.length, 3);
  assert.ok(reader.cut);
});

test("a line's pieces are the line", () => {
  const line =
    '  ct original zone set @th,72,64 map @sessions4-vpn accept comment "<b>x</b>" # 0x1f';
  const pieces = piecesOf(line);
  assert.equal(pieces.map((p) => p.text).join(""), line);
  assert.ok(pieces.some((p) => p.look === "verdict" && p.text === "accept"));
  assert.ok(pieces.some((p) => p.look === "comment" && p.text === '"<b>x</b>"'));
});

test("a line is explained with its chain", () => {
  const meaning = meaningOf(
    "ct original zone set @th,72,64 map @sessions4-vpn accept",
    "chain steer4-vpn",
  );
  assert.match(meaning.about, /known session/);
  assert.ok(meaning.line.some((l) => l.includes("sessions map")));
});

test("every part of every table that roamlb makes is explained", () => {
  const golden = "../nft/testdata";
  const files = readdirSync(golden).filter((name) => name.endsWith(".nft"));
  assert.ok(files.length > 3);
  for (const file of files) {
    const reader = new RulesetReader(100_000);
    reader.add(readFileSync(`${golden}/${file}`, "utf8"));
    reader.end();
    for (const block of new Set(reader.lines.map((line) => line.block))) {
      assert.ok(block === "" || meaningOf("", block).about !== "", `${file}: ${block}`);
    }
  }
});

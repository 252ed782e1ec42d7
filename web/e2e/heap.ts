// Whether a page that stays open grows.
import type { CDPSession } from "playwright-core";
import { expect } from "../test/report.js";
import { open } from "./browser.js";
import { pages } from "./pages.js";
import { client, crowd } from "./traffic.js";
import { port, type World } from "./world.js";

const long = process.env["ROAMLB_LONG"] !== undefined;

/** How long the page stays open, in seconds, before and after the first measurement. */
const [warm, stay] = long ? [120, 600] : [15, 30];

/** Grown by less than this, in bytes: noise, not what an hour would fill memory with. */
const allowed = 3 << 20;

/** Leaves the overview open while sessions roam, and compares the heap. */
export async function doesNotGrow(world: World): Promise<void> {
  const page = await world.visitor();
  const debug = await page.context().newCDPSession(page);
  await debug.send("HeapProfiler.enable");
  await debug.send("Performance.enable");
  const walkers = await crowd(40, port, 250);
  let roams = 0;
  const roaming = setInterval(() => {
    void walkers[roams % walkers.length]?.roam(client(4000 + (roams++ % 30_000)));
  }, 50);
  try {
    // All pages once: what they load for good is not growth.
    for (const [route, title] of pages) {
      await open(page, route, title);
    }
    await open(page, "#/", "Overview");
    await pause(warm);
    const before = await measure(debug);
    const sizes: number[] = [];
    for (let i = 0; i < 6; i++) {
      await pause(stay / 6);
      sizes.push((await measure(debug)).heap);
    }
    const after = await measure(debug);
    const told = [before.heap, ...sizes].map((n) => (n / 1e6).toFixed(2)).join(", ");
    console.log(
      `# heap ${told} MB in ${String(stay)} s with ${String(roams)} roams; ` +
        `nodes ${String(before.nodes)}, then ${String(after.nodes)}`,
    );
    expect(roams > stay * 5, "hardly anything roamed: nothing was shown");
    expect(after.heap - before.heap < allowed, `the heap grew: ${told} MB`);
    expect(after.nodes < before.nodes * 1.5 + 500, "the page has ever more nodes");
  } finally {
    clearInterval(roaming);
    walkers.forEach((w) => {
      w.close();
    });
  }
  await page.context().close();
}

async function measure(debug: CDPSession): Promise<{ heap: number; nodes: number }> {
  await debug.send("HeapProfiler.collectGarbage");
  const { metrics } = await debug.send("Performance.getMetrics");
  const of = (name: string) => metrics.find((m) => m.name === name)?.value ?? NaN;
  return { heap: of("JSHeapUsedSize"), nodes: of("Nodes") };
}

function pause(seconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

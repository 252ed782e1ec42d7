// Whether a page that stays open grows.
import type { CDPSession, Page } from "playwright-core";
import { expect } from "../test/report.js";
import { heading, open } from "./browser.js";
import { pages } from "./pages.js";
import { client, crowd } from "./traffic.js";
import { port, type World } from "./world.js";

const long = process.env["ROAMLB_LONG"] !== undefined;

/** How long the pages stay open, in seconds, after the first measurement and before it. */
const stay = Number(process.env["ROAMLB_STAY"] ?? (long ? 600 : 30));
const warm = stay < 600 ? 15 : 120;

/** How often the heap is measured on the way. */
const looks = Math.max(6, Math.floor(stay / 300));

/** Grown by less than this, in bytes: noise, not what an hour would fill memory with. */
const allowed = 3 << 20;

/** What somebody leaves open, to look at now and then. */
const left = ["Overview", "Roaming", "Events"] as const;

/** Leaves pages that move open while sessions roam, and compares the heap of each. */
export async function doesNotGrow(world: World): Promise<void> {
  const walkers = await crowd(40, port, 250);
  let roams = 0;
  const roaming = setInterval(() => {
    void walkers[roams % walkers.length]?.roam(client(4000 + (roams++ % 30_000)));
  }, 50);
  const all: Open[] = [];
  try {
    for (const title of left) {
      all.push(await opened(world, title));
    }
    await pause(warm);
    const looked = [await measure(all)];
    for (let i = 0; i < looks; i++) {
      await pause(stay / looks);
      looked.push(await measure(all));
    }
    expect(roams > stay * 5, "hardly anything roamed: nothing was shown");
    console.log(`# ${String(stay)} s with ${String(roams)} roams`);
    for (const [i, { title }] of all.entries()) {
      isLevel(
        title,
        looked.map((look) => look[i] ?? { heap: NaN, nodes: NaN }),
      );
    }
  } finally {
    clearInterval(roaming);
    walkers.forEach((w) => {
      w.close();
    });
  }
  for (const { page } of all) {
    await page.context().close();
  }
}

interface Open {
  title: string;
  page: Page;
  debug: CDPSession;
}

/** A browser of its own with a page in it, after all others: what they load for good is not growth. */
async function opened(world: World, title: string): Promise<Open> {
  const page = await world.visitor();
  const debug = await page.context().newCDPSession(page);
  await debug.send("HeapProfiler.enable");
  await debug.send("Performance.enable");
  for (const [route, heading] of pages) {
    await open(page, route, heading);
  }
  await page.getByRole("navigation").getByRole("link", { name: title }).click();
  await heading(page, title);
  return { title, page, debug };
}

interface Size {
  heap: number; // in bytes
  nodes: number;
}

function measure(all: readonly Open[]): Promise<Size[]> {
  return Promise.all(
    all.map(async ({ debug }) => {
      await debug.send("HeapProfiler.collectGarbage");
      const { metrics } = await debug.send("Performance.getMetrics");
      const of = (name: string) => metrics.find((m) => m.name === name)?.value ?? NaN;
      return { heap: of("JSHeapUsedSize"), nodes: of("Nodes") };
    }),
  );
}

/** Fails where the last size is well above the first. */
function isLevel(title: string, sizes: readonly Size[]): void {
  const [first, last] = [sizes[0], sizes.at(-1)];
  expect(first !== undefined && last !== undefined, "nothing was measured");
  const told = sizes.map((s) => (s.heap / 1e6).toFixed(2)).join(", ");
  console.log(
    `# ${title}: heap ${told} MB; nodes ${String(first.nodes)}, then ${String(last.nodes)}`,
  );
  expect(last.heap - first.heap < allowed, `${title}: the heap grew: ${told} MB`);
  expect(last.nodes < first.nodes * 1.5 + 500, `${title} has ever more nodes`);
}

function pause(seconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, seconds * 1000));
}

// How heavy the first view is, and how soon it can be used.
import type { CDPSession, Page } from "playwright-core";
import { expect } from "../test/report.js";
import { signIn } from "./browser.js";
import { origin } from "./daemon.js";
import type { World } from "./world.js";

/** In bytes, as they come over the line: with headers, compressed. */
const heaviest = 150_000;

/** In milliseconds, from the request to a page that can be used. CI machines are shared: thrice what is wanted. */
const slowest = process.env["CI"] === undefined ? 1000 : 3000;

/** What somebody loads who comes for the first time, and what the overview is made of. */
export async function isLight(world: World): Promise<void> {
  const context = await world.stranger();
  const page = await context.newPage();
  const debug = await context.newCDPSession(page);
  const load = await counted(debug);
  await page.goto(`${origin}/`);
  await page.locator('html[data-ready="true"]').waitFor();
  const first = load();
  await signIn(page, world.token);
  // The charts come last, after what can be used at once.
  await page.locator(".chart canvas").first().waitFor();
  const overview = load();
  console.log(`# first view ${String(first)} bytes, with the overview ${String(overview)}`);
  expect(first > 1000, "nothing was counted");
  expect(overview < heaviest, `${String(overview)} bytes, want less than ${String(heaviest)}`);
  await context.close();
}

/** Counts what comes over the line for the page and its assets. */
async function counted(debug: CDPSession): Promise<() => number> {
  const of = new Map<string, boolean>();
  let sum = 0;
  debug.on("Network.responseReceived", ({ requestId, response }) => {
    of.set(requestId, !response.url.includes("/v1/"));
  });
  debug.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    sum += of.get(requestId) === true ? encodedDataLength : 0;
  });
  await debug.send("Network.enable");
  return () => sum;
}

/** The best of some tries, each with an empty cache: what disturbs is not the page's doing. */
export async function isFast(world: World): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const context = await world.stranger();
    const page = await context.newPage();
    await page.goto(`${origin}/`, { waitUntil: "commit" });
    times.push(await readyAfter(page));
    await signIn(page, world.token);
    await page.reload({ waitUntil: "commit" });
    times.push(await readyAfter(page));
    await context.close();
  }
  const told = times.map((t) => t.toFixed(0)).join(", ");
  console.log(`# usable after ${told} ms, sign-in and overview by turns`);
  const even = Math.min(...times.filter((_, i) => i % 2 === 0));
  const odd = Math.min(...times.filter((_, i) => i % 2 === 1));
  expect(Math.max(even, odd) < slowest, `${told} ms, want less than ${String(slowest)}`);
}

/** When the page became usable, in milliseconds after its request. */
function readyAfter(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((done) => {
        const look = () => {
          if (document.documentElement.dataset["ready"] === "true") {
            done(performance.now());
          } else {
            requestAnimationFrame(look);
          }
        };
        look();
      }),
  );
}

// Pictures of every page of a running demo: at three widths, in both themes.
// Arguments: where the demo answers, its token, and a directory.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { launch, open, signIn } from "./browser.js";
import { Api } from "./api.js";

const widths = [390, 1024, 1600] as const;
const themes = ["light", "dark"] as const;

/** In CSS pixels: what is longer is cut. */
const longest = 2400;

/** How long figures and pictures are given to fill, in milliseconds. */
const filling = 15_000;

interface Shot {
  name: string;
  route: string;
  title: RegExp;
  /** What makes it worth looking at. */
  prepare?: (page: Page) => Promise<void>;
}

interface Happening {
  session?: { key?: string };
  new_client?: string;
}

/** The latest roam of the demo's first service: its session still speaks. */
async function lastRoam(api: Api): Promise<Happening | undefined> {
  let last: Happening | undefined;
  let cursor = "";
  do {
    const list = await api.ask<{ items: Happening[]; next?: string }>(
      "GET",
      `/events?kind=roam&service=vpn&limit=1000${cursor}`,
    );
    last = list.items.at(-1) ?? last;
    const ended = list.next === undefined || list.items.length === 0;
    cursor = ended ? "" : `&cursor=${list.next ?? ""}`;
  } while (cursor !== "");
  return last;
}

/** The pages, with a session that has roamed. */
async function shots(origin: string, token: string): Promise<Shot[]> {
  const api = new Api(token, origin);
  const last = await lastRoam(api);
  const key = last?.session?.key ?? "5e55101dca11ab1e";
  const client = last?.new_client ?? "198.18.0.7:40000";
  const listener = client.startsWith("[") ? "[2001:db8::10]:4500" : "192.0.2.10:4500";
  const explained = new URLSearchParams({ packet: `31${key}0000000000000001`, client, listener });
  return [
    { name: "overview", route: "#/", title: /^Overview/ },
    { name: "services", route: "#/services", title: /^Services/ },
    {
      name: "new",
      route: "#/services/new",
      title: /^New service/,
      prepare: (page) => page.getByLabel("Sample payload").fill("31 8c31f2d0a4b7e915 00000001"),
    },
    { name: "service", route: "#/services/game", title: /^Service / },
    { name: "edit", route: "#/services/tunnel/edit", title: /^Change / },
    { name: "backends", route: "#/services/vpn/backends", title: /^Backends of / },
    { name: "sessions", route: "#/sessions?service=vpn", title: /^Sessions/ },
    { name: "session", route: `#/sessions/vpn/${key}`, title: /^Session / },
    {
      name: "roaming",
      route: "#/roaming?service=vpn",
      title: /^Roaming/,
      prepare: (page) => page.waitForTimeout(filling),
    },
    {
      name: "explain",
      route: `#/explain?${explained.toString()}`,
      title: /^Explain/,
      prepare: async (page) => {
        await page.getByRole("button", { name: "Explain" }).click();
        await page.getByTestId("step").first().waitFor();
      },
    },
    { name: "ruleset", route: "#/ruleset", title: /^Ruleset/ },
    { name: "events", route: "#/events", title: /^Events/ },
    { name: "host", route: "#/host", title: /^Host/ },
    { name: "tokens", route: "#/tokens", title: /^Tokens/ },
  ];
}

async function picture(page: Page, path: string): Promise<void> {
  const size = page.viewportSize() ?? { width: 0, height: 0 };
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  // What sticks to the window's end would stand in the middle of the picture.
  const sticks = (await page.locator(".form-end").count()) > 0;
  if (sticks) {
    await page.setViewportSize({ ...size, height });
  }
  await page.screenshot({
    path,
    fullPage: true,
    animations: "disabled",
    clip: { x: 0, y: 0, width: size.width, height: Math.min(height, longest) },
  });
  await page.setViewportSize(size);
}

/** All pages at a width in a theme. */
async function round(
  browser: Browser,
  origin: string,
  token: string,
  width: number,
  theme: string,
  into: string,
): Promise<void> {
  const context = await browser.newContext({
    viewport: { width, height: width < 600 ? 844 : 800 },
  });
  await context.addInitScript((t) => {
    localStorage.setItem("roamlb.theme", t);
  }, theme);
  const page = await context.newPage();
  const name = (shot: string) => join(into, `${shot}-${String(width)}-${theme}.png`);
  await page.goto(`${origin}/`);
  await page.locator('html[data-ready="true"]').waitFor();
  await picture(page, name("sign-in"));
  await signIn(page, token, origin);
  await page.waitForTimeout(filling);
  for (const shot of await shots(origin, token)) {
    await open(page, shot.route, shot.title, origin);
    await page.waitForTimeout(1500);
    await shot.prepare?.(page);
    await picture(page, name(shot.name));
  }
  await context.close();
}

async function main([origin, token, into]: string[]): Promise<void> {
  if (origin === undefined || token === undefined || into === undefined) {
    throw new Error("usage: node screenshots.js URL TOKEN DIRECTORY");
  }
  mkdirSync(into, { recursive: true });
  const browser = await launch();
  try {
    for (const width of widths) {
      // Both at once: what takes time is to wait for figures.
      await Promise.all(themes.map((theme) => round(browser, origin, token, width, theme, into)));
    }
  } finally {
    await browser.close();
  }
}

await main(process.argv.slice(2));

// axe-core, on every page, in both themes, and the keyboard.
import axe from "axe-core";
import type { Page } from "playwright-core";
import { expect } from "../test/report.js";
import { open } from "./browser.js";
import { origin } from "./daemon.js";
import { pages } from "./pages.js";
import { crowd } from "./traffic.js";
import { until } from "./until.js";
import { port, type World } from "./world.js";

const themes = ["light", "dark"] as const;

/** No page has a violation that axe-core calls serious or critical. */
export async function hasNoViolation(world: World): Promise<void> {
  const walkers = await crowd(10, port, 200);
  const found: string[] = [];
  try {
    await until("sessions are answered", 20_000, () => walkers.every((w) => w.answered > 0));
    for (const width of [390, 1280]) {
      const page = await world.visitor(world.token, width);
      for (const theme of themes) {
        await choose(page, theme);
        for (const [route, title] of pages) {
          await open(page, route, title);
          found.push(...(await violations(page, `${route} (${theme}, ${String(width)} px)`)));
        }
      }
      await page.context().close();
    }
    found.push(...(await beforeSignIn(world)));
  } finally {
    walkers.forEach((w) => {
      w.close();
    });
  }
  expect(found.length === 0, found.join("\n"));
}

async function beforeSignIn(world: World): Promise<string[]> {
  const context = await world.stranger();
  const page = await context.newPage();
  const found: string[] = [];
  for (const theme of themes) {
    await page.goto(`${origin}/`);
    await choose(page, theme);
    await open(page, "#/", "Sign in");
    found.push(...(await violations(page, `sign in (${theme})`)));
  }
  await context.close();
  return found;
}

/** Chooses the theme as the page keeps it, and loads the page anew. */
async function choose(page: Page, theme: string): Promise<void> {
  await page.evaluate((t) => {
    localStorage.setItem("roamlb.theme", t);
  }, theme);
  await page.reload();
  await page.locator(`html[data-theme="${theme}"]`).waitFor();
}

/** The serious ones, each in a line. */
async function violations(page: Page, where: string): Promise<string[]> {
  // The page's policy lets no script in; the debugger may.
  const debug = await page.context().newCDPSession(page);
  await debug.send("Runtime.evaluate", { expression: axe.source });
  await debug.detach();
  const result = await page.evaluate(async () => {
    const { axe: run } = globalThis as unknown as { axe: typeof axe };
    return run.run(document, { resultTypes: ["violations"] });
  });
  return result.violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => {
      const nodes = v.nodes.map((n) => `${n.target.join(" ")}: ${n.failureSummary ?? ""}`);
      return `${where}: ${v.id}, ${v.help}: ${nodes.slice(0, 3).join("; ").replaceAll("\n", " ")}`;
    });
}

/** The first key leads to the content, and a change of page leads there by itself. */
export async function isUsableByKeyboard({ page }: World): Promise<void> {
  await open(page, "#/", "Overview");
  await page.reload();
  await open(page, "#/", "Overview");
  await page.keyboard.press("Tab");
  const first = await page.evaluate(() => document.activeElement?.textContent ?? "");
  expect(first.includes("Skip to content"), `the first that has the focus is "${first}"`);
  await page.getByRole("navigation").getByRole("link", { name: "Services" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Services" }).waitFor();
  await until("the content has the focus", 5_000, () =>
    page.evaluate(() => document.activeElement?.closest("main") != null),
  );
}

// What must not be missed stands above every page.
import { execFileSync } from "node:child_process";
import type { Page } from "playwright-core";
import { expect } from "../test/report.js";
import { open } from "./browser.js";
import { crowd, listener } from "./traffic.js";
import type { World } from "./world.js";

const name = "alone";
const port = 7801;

/** No backend, sessions that had to go, drift: each is told on whatever page is open. */
export async function tellsWhatIsWrong({ page, api, daemon }: World): Promise<void> {
  await api.ask("POST", "/services", {
    name,
    listen: [{ address: listener, port }],
    key: { offset: 4, length: 8 },
    max_sessions: 4,
    backends: [{ name: "a", address: "198.51.100.1", port, admin: "down" }],
  });
  await open(page, "#/", "Overview");
  await told(page, "no-backend", name);
  await open(page, "#/explain", "Explain");
  await told(page, "no-backend", name);
  await api.ask("PATCH", `/services/${name}/backends/a`, { admin: "up" });
  await alarm(page, "no-backend").waitFor({ state: "detached" });

  const walkers = await crowd(12, port, 200);
  try {
    await told(page, "table-full", name);
  } finally {
    walkers.forEach((w) => {
      w.close();
    });
  }

  execFileSync(daemon.program, ["flush"], { stdio: "ignore" });
  await told(page, "drift", "");
  await page.reload();
  await told(page, "drift", "");
  await api.ask("DELETE", `/services/${name}`);
}

function alarm(page: Page, of: string) {
  return page.locator(`[data-testid="alarm"][data-alarm="${of}"]`);
}

async function told(page: Page, of: string, words: string): Promise<void> {
  const it = alarm(page, of);
  await it.waitFor();
  const text = (await it.textContent()) ?? "";
  expect(text.includes(words), `${of} does not say ${words}: ${text}`);
  const box = await it.boundingBox();
  const height = page.viewportSize()?.height ?? 0;
  expect(box !== null && box.y + box.height < height, `${of} is out of sight`);
}

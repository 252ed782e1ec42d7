// The daemon goes away and comes back under an open page.
import type { Page } from "playwright-core";
import { open } from "./browser.js";
import { client, crowd } from "./traffic.js";
import { until } from "./until.js";
import { port, service, type World } from "./world.js";

/** The page says that nobody answers, and goes on by itself when somebody does. */
export async function recovers({ page, daemon }: World): Promise<void> {
  await open(page, "#/", "Overview");
  await connected(page, "live");
  const walkers = await crowd(20, port, 100);
  try {
    let i = 0;
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await daemon.stop(signal);
      await connected(page, "reconnecting");
      await daemon.start();
      await connected(page, "live");
      await page.locator(`[data-testid="service-row"][data-service="${service}"]`).waitFor();
      for (const figure of ["flows", "roams"]) {
        const rate = page.getByTestId(`rate-${figure}`).first();
        await until(`${figure} are counted again`, 30_000, async () => {
          await walkers[i % walkers.length]?.roam(client(3000 + i++));
          return Number(await rate.getAttribute("data-value")) > 0;
        });
      }
    }
  } finally {
    walkers.forEach((w) => {
      w.close();
    });
  }
}

async function connected(page: Page, state: string): Promise<void> {
  await page
    .locator(`[data-testid="connection"][data-state="${state}"]`)
    .waitFor({ timeout: 40_000 });
}

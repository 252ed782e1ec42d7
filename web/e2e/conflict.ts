// Two people change the same service.
import type { Page } from "playwright-core";
import { expect } from "../test/report.js";
import { heading, open, showMore } from "./browser.js";
import { service, type World } from "./world.js";

/** The second one is told, sees what the first one did, and loses nothing of it. */
export async function tellsTheSecond(world: World): Promise<void> {
  const first = world.page;
  const second = await world.visitor();
  for (const page of [first, second]) {
    await open(page, `#/services/${service}/edit`, `Change ${service}`);
    await showMore(page);
  }
  await first.getByLabel("Session TTL").fill("45m");
  await apply(first);
  await heading(first, new RegExp(`Service ${service}`));

  await second.getByLabel("Max sessions").fill("5000");
  await apply(second);
  const told = second.getByTestId("conflict");
  await told.waitFor();
  const text = (await told.textContent()) ?? "";
  expect(text.includes("45m"), `it does not say what has changed: ${text}`);
  await second.getByRole("button", { name: "Keep my changes" }).click();
  await second.getByTestId("preview").waitFor();
  await second.getByRole("button", { name: "Apply change" }).click();
  await heading(second, new RegExp(`Service ${service}`));
  const now = await world.api.ask<{ session_ttl: string; max_sessions: number }>(
    "GET",
    `/services/${service}`,
  );
  expect(now.session_ttl === "45m" && now.max_sessions === 5000, JSON.stringify(now));
  await second.context().close();
  await world.api.ask("PATCH", `/services/${service}`, { session_ttl: null, max_sessions: null });
}

async function apply(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Preview change" }).click();
  await page.getByTestId("preview").waitFor();
  await page.getByRole("button", { name: "Apply change" }).click();
}

// A backend that is drained, and comes back.
import type { Page } from "playwright-core";
import { expect } from "../test/report.js";
import { open } from "./browser.js";
import { crowd } from "./traffic.js";
import { until } from "./until.js";
import { port, service, type World } from "./world.js";

/** Drains a backend that has sessions until it has none; none of them is lost. */
export async function drainsToZero({ page, api }: World): Promise<void> {
  await api.ask("PATCH", `/services/${service}`, { drain_timeout: "5s" });
  const walkers = await crowd(24, port, 100);
  try {
    await until("backend a has sessions", 20_000, () => walkers.some((w) => w.backend === "a"));
    await open(page, `#/services/${service}/backends`, new RegExp("^Backends of"));
    const row = page.locator('[data-testid="backend-row"][data-backend="a"]');
    const left = async () =>
      Number(await row.getByTestId("sessions-left").getAttribute("data-value"));
    await until("the page shows its sessions", 10_000, async () => (await left()) > 0);
    await page.getByRole("button", { name: "Drain a", exact: true }).click();
    await page.getByTestId("preview").waitFor();
    await page.getByRole("button", { name: "Apply change" }).click();
    await page
      .locator('[data-testid="backend-row"][data-backend="a"][data-state="drain"]')
      .waitFor();
    await page.getByRole("progressbar", { name: "Draining a" }).waitFor();
    await until("no session is left", 40_000, async () => (await left()) === 0);
    const before = walkers.map((w) => w.answered);
    await until("all are answered elsewhere", 20_000, () =>
      walkers.every((w, i) => w.answered > (before[i] ?? 0) && w.backend !== "a"),
    );
  } finally {
    walkers.forEach((w) => {
      w.close();
    });
  }
}

/** Undo takes the last change back. */
export async function undoes({ page, api }: World): Promise<void> {
  await page.getByTestId("undo").getByRole("button", { name: "Undo" }).click();
  const apply = page.getByRole("button", { name: "Apply change" });
  const up = page.locator('[data-testid="backend-row"][data-backend="a"][data-state="up"]');
  await apply.or(up).first().waitFor();
  if (await apply.isVisible()) {
    await apply.click();
  }
  await up.waitFor();
  const { admin } = await api.ask<{ admin: string }>("GET", `/services/${service}/backends/a`);
  expect(admin === "up", `the backend is ${admin}`);
}

/** A backend comes, moves and goes; wrong input shows its error at its field. */
export async function addsAndRemoves({ page, api }: World): Promise<void> {
  const at = `/services/${service}/backends/d`;
  await open(page, `#/services/${service}/backends`, new RegExp("^Backends of"));
  await page.getByRole("button", { name: "Add backend" }).click();
  const form = page.getByRole("form", { name: "New backend" });
  await form.getByLabel("Name").fill("d");
  await form.getByLabel("Addresses").fill("nowhere");
  await form.getByLabel("Port").fill("7777");
  await form.getByRole("button", { name: "Preview change" }).click();
  await form.locator('[data-testid="error"][data-pointer^="/addresses"]').waitFor();
  await form.getByLabel("Addresses").fill("198.51.100.4");
  await form.getByRole("button", { name: "Preview change" }).click();
  await agree(page);
  const row = page.locator('[data-testid="backend-row"][data-backend="d"]');
  await row.waitFor();

  await page.getByRole("button", { name: "Change d", exact: true }).click();
  const change = page.getByRole("form", { name: "Change d" });
  await change.getByLabel("Addresses").fill("198.51.100.5");
  await change.getByRole("button", { name: "Preview change" }).click();
  await agree(page);
  const address = async () => (await api.ask<{ address?: string }>("GET", at)).address;
  await until("it is elsewhere", 10_000, async () => (await address()) === "198.51.100.5");
  await page.getByTestId("undo").getByRole("button", { name: "Undo" }).click();
  await until("it is back", 10_000, async () => (await address()) === "198.51.100.4");

  await page.getByRole("button", { name: "Remove d", exact: true }).click();
  await agree(page);
  await row.waitFor({ state: "detached" });
  expect((await api.raw("GET", at)).status === 404, "the API has it still");
}

async function agree(page: Page): Promise<void> {
  await page.getByTestId("preview").waitFor();
  await page.getByRole("button", { name: "Apply change" }).click();
}

/** Another weight: what it would move is said before. */
export async function previews({ page, api }: World): Promise<void> {
  await open(page, `#/services/${service}/backends`, new RegExp("^Backends of"));
  await page.getByRole("button", { name: "Change b", exact: true }).click();
  const form = page.getByRole("form", { name: "Change b" });
  await form.getByLabel("Weight", { exact: true }).fill("3");
  await form.getByRole("button", { name: "Preview change" }).click();
  await page.getByTestId("preview").waitFor();
  const { weight } = await api.ask<{ weight: number }>("GET", `/services/${service}/backends/b`);
  expect(weight === 1, "the preview has changed something");
  await page.getByRole("button", { name: "Apply change" }).click();
  await until("the weight is changed", 10_000, async () => {
    const b = await api.ask<{ weight: number }>("GET", `/services/${service}/backends/b`);
    return b.weight === 3;
  });
}

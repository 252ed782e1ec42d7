// A service made in the form, and what the form says to what is wrong.
import type { Locator, Page } from "playwright-core";
import { expect } from "../test/report.js";
import { heading, open, showMore } from "./browser.js";
import { backends, keyLength, keyOffset, listener } from "./traffic.js";
import { until } from "./until.js";
import { port, service, type World } from "./world.js";

/** A sample as a client sends it: a number, the key, a text. */
const sample = "00000001 5e55101dca11ab1e 6d6f7665";

/** Drags over the key's bytes, and makes the service. */
export async function createsByDragging({ page, api }: World): Promise<void> {
  await open(page, "#/services/new", "New service");
  await page.getByLabel("Name", { exact: true }).fill(service);
  await page.getByLabel("Listener 1 address").fill(listener);
  await page.getByLabel("Listener 1 port").fill(String(port));
  await page.getByLabel("Sample payload").fill(sample);
  await drag(page, byte(page, keyOffset), byte(page, keyOffset + keyLength - 1));
  await hasKey(page, keyOffset, keyLength);
  await fillBackends(page);
  await page.getByRole("button", { name: "Create service" }).click();
  const question = page.getByRole("dialog", { name: `Create service ${service}?` });
  await question.getByRole("button", { name: "Create", exact: true }).click();
  await heading(page, new RegExp(`Service ${service}`));
  for (const [what, name] of [
    ["pinning", "session"],
    ["datapath", "queue"],
  ] as const) {
    const told = page.locator(`[data-testid="effective"][data-what="${what}"]`);
    await told.getByText(name, { exact: true }).waitFor();
  }
  await page.getByTestId("key-drawing").first().waitFor();
  const shares = page.getByRole("table", { name: "Ring shares IPv4" }).getByTestId("share");
  await until("each backend's share is shown", 10_000, async () => (await shares.count()) === 3);
  const made = await api.ask<{ key: { offset?: number; length?: number }; backends: unknown[] }>(
    "GET",
    `/services/${service}`,
  );
  expect(
    made.key.offset === keyOffset && made.key.length === keyLength && made.backends.length === 3,
    JSON.stringify(made),
  );
}

/** Whoever has no mouse chooses the key's bytes too. */
export async function choosesByKeyboard({ page }: World): Promise<void> {
  await open(page, "#/services/new", "New service");
  await page.getByLabel("Sample payload").fill(sample);
  await byte(page, 0).focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press("Shift+ArrowRight");
  }
  await hasKey(page, 2, 6);
}

/** What the server refuses is said at the field that is wrong, and read with it. */
export async function tellsErrorsAtTheirFields({ page }: World): Promise<void> {
  await open(page, "#/services/new", "New service");
  await page.getByLabel("Name", { exact: true }).fill("No Good Name");
  await page.getByLabel("Listener 1 address").fill(listener);
  await page.getByLabel("Listener 1 port").fill("9999");
  await page.getByLabel("Length", { exact: true }).fill("9");
  await fillBackends(page);
  await page.getByLabel("Backend 2 address").fill("nowhere");
  await showMore(page);
  await page.getByLabel("Slots").fill("4");
  await page.getByLabel("Session TTL").fill("a while");
  await page.getByRole("button", { name: "Create service" }).click();
  const question = page.getByRole("dialog");
  const create = question.getByRole("button", { name: "Create", exact: true });
  const error = page.getByTestId("error").first();
  await create.or(error).first().waitFor();
  if (await create.isVisible()) {
    await create.click();
  }
  for (const [pointer, label] of [
    ["/name", "Name"],
    ["/slots", "Slots"],
    ["/session_ttl", "Session TTL"],
    ["/backends/1/address", "Backend 2 address"],
  ] as const) {
    await hasError(page, pointer, page.getByLabel(label, { exact: true }));
  }
}

async function hasError(page: Page, pointer: string, field: Locator): Promise<void> {
  const error = page.locator(`[data-testid="error"][data-pointer^="${pointer}"]`).first();
  await error.waitFor();
  expect(((await error.textContent()) ?? "").trim() !== "", `${pointer}: the error is empty`);
  expect(
    (await field.getAttribute("aria-invalid")) === "true",
    `${pointer}: the field is not marked`,
  );
  const described = ((await field.getAttribute("aria-describedby")) ?? "").split(" ");
  const id = (await error.getAttribute("id")) ?? "";
  expect(described.includes(id), `${pointer}: a screen reader does not read the error ${id}`);
}

async function fillBackends(page: Page): Promise<void> {
  for (const [i, { name, address }] of backends.entries()) {
    const n = `Backend ${String(i + 1)}`;
    if (!(await page.getByLabel(`${n} name`).isVisible())) {
      await page.getByRole("button", { name: "Add backend" }).click();
    }
    await page.getByLabel(`${n} name`).fill(name);
    await page.getByLabel(`${n} address`).fill(address);
    await page.getByLabel(`${n} port`).fill(String(port));
  }
}

function byte(page: Page, i: number): Locator {
  return page
    .getByRole("grid", { name: "Payload bytes" })
    .getByRole("gridcell", { name: new RegExp(`^Byte ${String(i)}, `) });
}

async function drag(page: Page, from: Locator, to: Locator): Promise<void> {
  await from.scrollIntoViewIfNeeded();
  const a = await from.boundingBox();
  const b = await to.boundingBox();
  expect(a !== null && b !== null, "the bytes are not shown");
  await page.mouse.move(a.x + a.width / 2, a.y + a.height / 2);
  await page.mouse.down();
  await page.mouse.move(b.x + b.width / 2, b.y + b.height / 2, { steps: 12 });
  await page.mouse.up();
}

async function hasKey(page: Page, offset: number, length: number): Promise<void> {
  const found = {
    offset: await page.getByLabel("Offset", { exact: true }).inputValue(),
    length: await page.getByLabel("Length", { exact: true }).inputValue(),
  };
  expect(
    found.offset === String(offset) && found.length === String(length),
    `the key is at ${found.offset}, ${found.length} long; want ${String(offset)}, ${String(length)}`,
  );
}

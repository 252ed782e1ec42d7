// The pages that explain: a packet's way, the rules, what has happened.
import { expect } from "../test/report.js";
import { open } from "./browser.js";
import { explained } from "./pages.js";
import { keyLength, keyOffset } from "./traffic.js";
import { until } from "./until.js";
import { service, type World } from "./world.js";

/** A packet's way, step by step, to a backend. */
export async function explainsAPacket({ page }: World): Promise<void> {
  await open(page, `#/explain?${explained}`, "Explain");
  const steps = page.getByTestId("step");
  await page.getByRole("button", { name: "Explain" }).click();
  await steps.first().waitFor();
  expect((await steps.count()) > 2, "there are hardly any steps");
  const marked = page.getByTestId("packet-bytes").locator(".marked");
  for (const [step, bytes] of [
    ["key", keyLength],
    ["packet", keyOffset + keyLength + 4],
  ] as const) {
    await page.locator(`[data-testid="step"][data-step="${step}"]`).getByRole("button").hover();
    await until(`the bytes of ${step} are marked`, 5_000, async () => {
      return (await marked.count()) === bytes;
    });
  }
  const verdict = (await page.getByTestId("verdict").first().textContent()) ?? "";
  expect(verdict.trim() !== "", "there is no verdict");
}

/** The table of the kernel, whose lines explain themselves. */
export async function explainsTheRuleset({ page }: World): Promise<void> {
  await open(page, "#/ruleset", "Ruleset");
  const text = page.getByTestId("ruleset");
  await text.getByText("table inet roamlb").first().waitFor();
  await text.getByRole("option").nth(4).hover();
  await page.getByTestId("explanation").first().waitFor();
  const told = (await page.getByTestId("explanation").first().textContent()) ?? "";
  expect(told.trim() !== "", "the line is not explained");
}

/** What has happened, by kind and service; who did it is told. */
export async function listsEvents({ page }: World): Promise<void> {
  await open(page, `#/events?service=${service}&kind=roam`, "Events");
  await page.locator('[data-testid="event-row"][data-kind="roam"]').first().waitFor();
  const others = page.locator('[data-testid="event-row"]:not([data-kind="roam"])');
  expect((await others.count()) === 0, "events of other kinds are shown");
  await open(page, "#/events?kind=audit", "Events");
  await page.locator('[data-testid="event-row"][data-kind="audit"]').first().waitFor();
}

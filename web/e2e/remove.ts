// A service that goes.
import { expect } from "../test/report.js";
import { heading, open } from "./browser.js";
import { backends } from "./traffic.js";
import { until } from "./until.js";
import type { World } from "./world.js";

const name = "gone";

/** What is lost is said before; then it is gone, from the list too. */
export async function deletesAService({ page, api }: World): Promise<void> {
  await api.ask("POST", "/services", {
    name,
    listen: [{ address: "192.0.2.30", port: 9001 }],
    key: { offset: 4, length: 8 },
    backends: backends.map((b) => ({ ...b, port: 9001 })),
  });
  await open(page, `#/services/${name}`, `Service ${name}`);
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  const question = page.getByRole("dialog", { name: `Delete service ${name}?` });
  await question.getByText("0 live sessions").waitFor();
  await question.getByRole("button", { name: "Delete service" }).click();
  await heading(page, "Services");
  await until("the list is without it", 10_000, async () => {
    const row = page.locator(`[data-testid="service-row"][data-service="${name}"]`);
    return (await row.count()) === 0;
  });
  const answer = await api.raw("GET", `/services/${name}`);
  expect(answer.status === 404, `the API answers ${String(answer.status)}`);
}

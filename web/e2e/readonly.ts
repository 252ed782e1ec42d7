// Somebody with the scope read sees, and cannot change.
import type { Page } from "playwright-core";
import { expect } from "../test/report.js";
import { open } from "./browser.js";
import { service, type World } from "./world.js";

/** Where there are controls that change something, and their names. */
const controls: readonly (readonly [route: string, title: RegExp, buttons: RegExp])[] = [
  [`#/services/new`, /New service/, /^Create service$/],
  [`#/services/${service}`, /^Service/, /^Delete$/],
  [`#/services/${service}/edit`, /^Change/, /^Preview change$/],
  [
    `#/services/${service}/backends`,
    /^Backends of/,
    /^(Drain|Change |Take down|Remove|Add backend)/,
  ],
  [`#/tokens`, /^Tokens/, /^(Create token|Revoke)/],
];

/** All controls that change are disabled, and say why. */
export async function offersNoChange(world: World): Promise<void> {
  const page = await world.visitor(world.readToken);
  const scope = await page.getByTestId("identity").getAttribute("data-scope");
  expect(scope === "read", `the scope is ${String(scope)}`);
  await page.getByTestId("read-only").first().waitFor();
  for (const [route, title, names] of controls) {
    await open(page, route, title);
    const buttons = page.getByRole("main").getByRole("button", { name: names });
    const refusal = page.getByTestId("problem").or(page.getByTestId("read-only"));
    await buttons.or(refusal).first().waitFor();
    for (const button of await buttons.all()) {
      const name = (await button.textContent()) ?? "";
      const off =
        (await button.isDisabled()) || (await button.getAttribute("aria-disabled")) === "true";
      expect(off, `${route}: "${name}" can be used`);
      await button.click({ force: true });
      expect((await page.getByRole("dialog").count()) === 0, `${route}: "${name}" asks something`);
    }
  }
  await isRefused(page);
  await page.context().close();
}

/** Nor does the server do what the page does not offer. */
async function isRefused(page: Page): Promise<void> {
  const status = await page.evaluate(async (name) => {
    const answer = await fetch(`/v1/services/${name}`, {
      method: "DELETE",
      headers: { "If-Match": "*" },
    });
    return answer.status;
  }, service);
  expect(status === 403, `the server answers ${String(status)} to a deletion`);
}

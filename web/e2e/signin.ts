// Who may come in, and who has.
import { expect } from "../test/report.js";
import { heading, signIn } from "./browser.js";
import { origin } from "./daemon.js";
import type { World } from "./world.js";

/** A wrong token says so at its field; the right one leads to the overview. */
export async function signsIn({ page, token }: World): Promise<void> {
  await page.goto(`${origin}/`);
  await heading(page, "Sign in");
  await page.getByLabel("API token").fill(`${token.slice(0, -4)}AAAA`);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator('[data-testid="error"][data-pointer="/token"]').waitFor();
  await signIn(page, token);
  const identity = page.getByTestId("identity");
  expect((await identity.getAttribute("data-scope")) === "write", "the scope is another");
}

/** Scripts never see the token again: not a page that is tricked, nor an extension. */
export async function keepsNoToken({ page, token }: World): Promise<void> {
  const cookies = await page.context().cookies();
  const cookie = cookies.find((c) => c.name === "roamlb_session");
  expect(cookie !== undefined, "there is no session cookie");
  expect(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  const kept = await page.evaluate(() =>
    [localStorage, sessionStorage]
      .flatMap((storage) => Object.values(storage as Record<string, string>))
      .concat(document.cookie)
      .join(),
  );
  expect(!kept.includes(token), "the page keeps the token where scripts can read it");
}

/** Whoever has signed out is out, also on a page that is opened again. */
export async function signsOut(world: World): Promise<void> {
  const page = await world.visitor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await heading(page, "Sign in");
  await page.goto(`${origin}/#/services`);
  await page.reload();
  await heading(page, "Sign in");
  await page.context().close();
}

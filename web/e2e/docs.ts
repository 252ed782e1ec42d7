// The API's documentation, whose viewer is somebody else's.
import { expect } from "../test/report.js";
import { origin } from "./daemon.js";
import type { World } from "./world.js";

/** The viewer shows the description, under the policy, from this host alone. */
export async function showsTheDescription(world: World): Promise<void> {
  const context = await world.stranger();
  const page = await context.newPage();
  const answer = await page.goto(`${origin}/docs`);
  const policy = answer?.headers()["content-security-policy"] ?? "";
  expect(policy.includes("script-src 'self'"), `the policy is "${policy}"`);
  expect(!policy.includes("unsafe-eval"), `the policy is "${policy}"`);
  await page.getByText("/v1/services/{service}/ring/preview").first().waitFor();
  await context.close();
  world.watch.clean();
}

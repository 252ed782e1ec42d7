// Texts that would be harmful as HTML, wherever a page gets its texts from.
import type { Page, Route } from "playwright-core";
import { expect } from "../test/report.js";
import type { Json } from "./api.js";
import { heading, open, showMore } from "./browser.js";
import { origin } from "./daemon.js";
import { pages } from "./pages.js";
import { client, Walker } from "./traffic.js";
import { until } from "./until.js";
import { port, service, type World } from "./world.js";

/** As HTML this would make elements, and run scripts where the policy is weak. */
export const harm =
  `"'><img src=x onerror=globalThis.harmed=1><b class=harm>x</b>` +
  `<svg onload=globalThis.harmed=2></svg><script>globalThis.harmed=3</script>`;

/** Members of answers that pages understand rather than show: what these are decides what is shown. */
const understood = new Set([
  "id",
  "time",
  "kind",
  "state",
  "admin",
  "status",
  "scope",
  "family",
  "pinning",
  "live",
  "started",
  "created",
  "last_seen",
  "first_seen",
  "draining_since",
  "next",
  "type",
  "protocol",
  "form",
  "verdict",
  "packet",
  "severity",
]);

/** Sessions whose keys, and packets whose texts, are HTML. */
export async function showsKeysAsBytes({ page, watch }: World): Promise<void> {
  const key = Buffer.from("<b>harm<").toString("hex");
  const walker = await Walker.from(client(700), key, port, harm);
  walker.talk(100);
  try {
    await until("the session is answered", 10_000, () => walker.answered > 0);
    await open(page, `#/sessions/${service}/${key}`, /^Session/);
    await page.getByTestId("timeline-item").first().waitFor();
    await unharmed(page, "the session");
    await open(page, `#/sessions?service=${service}&key=${key}`, "Sessions");
    await page.getByTestId("session-row").first().waitFor();
    await unharmed(page, "the sessions");
    const packet = `00000001${key}${Buffer.from(harm).toString("hex")}`;
    const query = `packet=${packet}&client=198.18.0.7:40000&listener=192.0.2.10:${String(port)}`;
    await open(page, `#/explain?${query}`, "Explain");
    const step = page.getByTestId("step").first();
    await page.getByRole("button", { name: "Explain" }).click();
    await step.waitFor();
    await unharmed(page, "explain");
  } finally {
    walker.close();
  }
  watch.clean();
}

/** Addresses of pages that somebody was sent: what they name need not exist. */
export async function showsAddressesAsText({ page, watch }: World): Promise<void> {
  const h = encodeURIComponent(harm);
  for (const route of [
    `#/services/${h}`,
    `#/services/${h}/edit`,
    `#/services/${h}/backends`,
    `#/sessions?service=${h}&key=${h}&client=${h}&backend=${h}`,
    `#/sessions/${h}/${h}`,
    `#/roaming?service=${h}`,
    `#/explain?packet=${h}&client=${h}&listener=${h}`,
    `#/events?service=${h}&kind=${h}`,
    `#/${h}`,
  ]) {
    await page.goto(`${origin}/${route}`);
    await page.getByRole("heading", { level: 1 }).first().waitFor();
    await settled(page);
    await unharmed(page, route);
  }
  watch.clean();
}

/** Answers in which every text is HTML, as from a proxy that somebody else has. */
export async function showsAnswersAsText(world: World): Promise<void> {
  const page = await world.visitor();
  let changed = 0;
  await page.route("**/v1/**", async (route) => {
    changed += await poison(route);
  });
  let shown = 0;
  for (const [route, title] of pages) {
    await open(page, route, title);
    await settled(page);
    await unharmed(page, `${route}, with a hostile API`);
    const text = await page.evaluate(() => document.body.innerText);
    shown += text.includes("<img src=x onerror=") ? 1 : 0;
  }
  expect(changed > 50, `only ${String(changed)} texts were changed: the test shows nothing`);
  expect(shown >= 5, `only ${String(shown)} pages show a hostile text: the test shows nothing`);
  await page.context().close();
  world.watch.clean();
}

/** Problems whose texts are HTML, at the fields and without one. */
export async function showsProblemsAsText(world: World): Promise<void> {
  const page = await world.visitor();
  await page.route("**/v1/**", async (route) => {
    const method = route.request().method();
    if (method === "GET") {
      await route.continue();
      return;
    }
    const problem = {
      type: harm,
      title: harm,
      status: 422,
      detail: harm,
      instance: harm,
      errors: [
        { pointer: "/name", detail: harm },
        { pointer: `/${harm}`, detail: harm },
      ],
    };
    await route.fulfill({
      status: 422,
      contentType: "application/problem+json",
      body: JSON.stringify(problem),
    });
  });
  await open(page, `#/services/${service}/edit`, /^Change/);
  await showMore(page);
  await page.getByLabel("Session TTL").fill("7m");
  await page.getByRole("button", { name: "Preview change" }).click();
  const told = page.getByTestId("problem").or(page.getByTestId("error")).first();
  await told.waitFor();
  await unharmed(page, "a problem");
  const text = await page.evaluate(() => document.body.innerText);
  expect(text.includes("<img src=x onerror="), "the problem's text is not shown as it is");
  await page.context().close();
  world.watch.clean();
}

/** A token that is HTML, and a sign-in that is answered with HTML. */
export async function showsSignInAsText(world: World): Promise<void> {
  const context = await world.stranger();
  const page = await context.newPage();
  await page.route("**/v1/login", async (route) => {
    if (route.request().method() === "POST") {
      const body = `<html><body>${harm}`;
      await route.fulfill({ status: 502, contentType: "text/html", body });
    } else {
      await route.continue();
    }
  });
  await page.goto(`${origin}/`);
  await heading(page, "Sign in");
  await page.getByLabel("API token").fill(harm);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByTestId("problem").or(page.getByTestId("error")).first().waitFor();
  await unharmed(page, "sign in");
  await context.close();
  world.watch.clean();
}

/** Fails if a text has become an element, or has run. */
async function unharmed(page: Page, where: string): Promise<void> {
  const found = await page.evaluate(() => {
    const harmed = (globalThis as unknown as { harmed?: number }).harmed ?? 0;
    const elements = document.querySelectorAll('.harm, img[src="x"], [onerror], [onload]').length;
    return { harmed, elements };
  });
  expect(
    found.harmed === 0 && found.elements === 0,
    `${where}: a text became ${String(found.elements)} elements, script ${String(found.harmed)} ran`,
  );
}

/** Changes the texts of an answer, and tells how many. */
async function poison(route: Route): Promise<number> {
  if (route.request().headers()["accept"]?.includes("text/event-stream") === true) {
    const event = {
      id: "0-1",
      time: new Date().toISOString(),
      kind: "roam",
      service: harm,
      session: { key: harm },
      old_client: harm,
      new_client: harm,
      backend: harm,
      reason: harm,
      detail: harm,
      actor: harm,
      from: harm,
    };
    const body = `id: 0-1\nevent: roam\ndata: ${JSON.stringify(event)}\n\n`;
    await route.fulfill({ contentType: "text/event-stream", body });
    return 10;
  }
  const answer = await route.fetch().catch(() => undefined);
  if (answer === undefined) {
    await route.abort().catch(() => undefined); // the page has gone on
    return 0;
  }
  if (!(answer.headers()["content-type"] ?? "").includes("json")) {
    await route.fulfill({ response: answer, body: `${await answer.text()}\n${harm}` });
    return 1;
  }
  const counter = { texts: 0 };
  const body = poisoned((await answer.json()) as Json, "", counter);
  await route.fulfill({ response: answer, body: JSON.stringify(body) });
  return counter.texts;
}

function poisoned(value: Json, name: string, counter: { texts: number }): Json {
  if (typeof value === "string") {
    if (understood.has(name)) {
      return value;
    }
    counter.texts++;
    // The service of the route stays findable.
    return value === service ? value : `${value}${harm}`;
  }
  if (Array.isArray(value)) {
    return value.map((v) => poisoned(v, name, counter));
  }
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([k, v]) => [k, poisoned(v, k, counter)] as const),
    );
  }
  return value;
}

/** Gives a page the time to draw what it asked for. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 300))),
  );
}

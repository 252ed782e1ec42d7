// Sessions as packets make them, and one that roams.
import { expect } from "../test/report.js";
import { open } from "./browser.js";
import { client, crowd, Walker } from "./traffic.js";
import { until } from "./until.js";
import { port, service, type World } from "./world.js";

/** Packets are sent, and the sessions are there, each with the backend that answers it. */
export async function showsSessions(world: World): Promise<void> {
  const { page } = world;
  const walkers = await crowd(30, port, 200);
  try {
    await until("every session is answered", 20_000, () => walkers.every((w) => w.answered > 0));
    await open(page, `#/sessions?service=${service}`, "Sessions");
    for (const { key, backend } of walkers.slice(0, 5)) {
      await page.getByRole("searchbox", { name: "Search" }).fill(key);
      await page.getByRole("button", { name: "Search", exact: true }).click();
      const row = page.locator(`[data-testid="session-row"][data-key="${key}"]`);
      await row.waitFor();
      await until("only that session is shown", 10_000, async () => {
        return (await page.getByTestId("session-row").count()) === 1;
      });
      const told = (await row.textContent()) ?? "";
      expect(told.includes(backend), `${key} is answered by ${backend}, and shown as ${told}`);
    }
    await searchesByClient(world, walkers);
    await searchesByBackend(world, walkers);
  } finally {
    walkers.forEach((w) => {
      w.close();
    });
  }
}

async function searchesByClient({ page }: World, walkers: Walker[]): Promise<void> {
  const last = walkers.at(-1);
  expect(last !== undefined, "there are no walkers");
  await page.getByRole("searchbox", { name: "Search" }).fill(client(walkers.length - 1));
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await page.locator(`[data-testid="session-row"][data-key="${last.key}"]`).waitFor();
}

async function searchesByBackend({ page }: World, walkers: Walker[]): Promise<void> {
  await page.getByRole("searchbox", { name: "Search" }).fill("");
  await page.getByLabel("Backend", { exact: true }).selectOption("b");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  const rows = page.getByTestId("session-row");
  const on = walkers.filter((w) => w.backend === "b").map((w) => w.key);
  await until("the sessions of b are shown, and no others", 10_000, async () => {
    const keys = await rows.evaluateAll((all) => all.map((r) => r.getAttribute("data-key") ?? ""));
    const others = page.locator('[data-testid="session-row"]:not([data-backend="b"])');
    return on.every((key) => keys.includes(key)) && (await others.count()) === 0;
  });
}

/** The figures of the overview are those of the packets that flow. */
export async function showsRates({ page }: World): Promise<void> {
  await open(page, "#/", "Overview");
  const row = page.locator(`[data-testid="service-row"][data-service="${service}"]`);
  await row.waitFor();
  const walkers = await crowd(20, port, 100);
  try {
    const rate = async (name: string) =>
      Number(await page.getByTestId(`rate-${name}`).first().getAttribute("data-value"));
    // Packets of flows that are known stay in the kernel: what counts is who moves.
    let i = 0;
    await until("all four figures rise", 20_000, async () => {
      await walkers[i % walkers.length]?.roam(client(1000 + i++));
      const rates = await Promise.all(["flows", "packets", "roams", "deletions"].map(rate));
      return rates.every((r) => r >= 2);
    });
    expect((await row.getAttribute("data-state")) === "ok", "the service is not shown as sound");
  } finally {
    walkers.forEach((w) => {
      w.close();
    });
  }
}

/** Somebody looks at a session while it roams: the roam and the deletion come by themselves. */
export async function showsRoams({ page }: World): Promise<void> {
  const key = "70a3000000000001";
  const walker = await Walker.from(client(500), key, port);
  walker.talk(100);
  try {
    await until("the session is answered", 10_000, () => walker.answered > 0);
    await open(page, `#/sessions/${service}/${key}`, new RegExp("^Session"));
    const items = page.getByTestId("timeline-item");
    await items.first().waitFor();
    const roams = page.locator('[data-testid="timeline-item"][data-kind="roam"]');
    const deletions = page.locator('[data-testid="timeline-item"][data-kind="stale-deleted"]');
    for (const [n, address] of [client(501), client(502)].entries()) {
      const { backend } = walker;
      await walker.roam(address);
      await until("the roam is shown", 15_000, async () => (await roams.count()) === n + 1);
      await until("the deletion is shown", 15_000, async () => (await deletions.count()) === n + 1);
      const told = (await page.getByRole("main").textContent()) ?? "";
      expect(told.includes(address), `the page does not say that the session is at ${address}`);
      const before = walker.answered;
      await until("it is answered there", 10_000, () => walker.answered > before);
      expect(walker.backend === backend, "the session has another backend");
    }
  } finally {
    walker.close();
  }
}

/** The picture moves with the clients. */
export async function showsRoaming({ page }: World): Promise<void> {
  await open(page, `#/roaming?service=${service}`, "Roaming");
  await page.getByTestId("roaming-picture").waitFor();
  const walkers = await crowd(8, port, 200);
  try {
    const count = async () =>
      Number(await page.getByTestId("roam-count").getAttribute("data-value"));
    const before = await count();
    let i = 0;
    await until("the picture counts roams", 20_000, async () => {
      await walkers[i % walkers.length]?.roam(client(2000 + i++));
      return (await count()) > before + 2;
    });
    const words = page.locator("details").filter({ has: page.locator("table") });
    await words.locator("summary").click();
    await page.getByRole("table", { name: "Sessions in the picture" }).waitFor();
  } finally {
    walkers.forEach((w) => {
      w.close();
    });
  }
}

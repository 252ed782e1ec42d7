// A thousand services, and many sessions.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect } from "../test/report.js";
import type { Json } from "./api.js";
import { heading, open } from "./browser.js";
import { origin } from "./daemon.js";
import { backends, client, listener } from "./traffic.js";
import { until } from "./until.js";
import { port, type World } from "./world.js";

const long = process.env["ROAMLB_LONG"] !== undefined;

/** The service that has many sessions, and the port of its listener. */
const crowded = "crowded";
const crowdedPort = 7802;

const services = 1000;
const sessions = long ? 1_000_000 : 20_000;

/** In milliseconds: how long somebody waits for a page with all that, on a machine that is shared. */
const patience = 5_000;

/** A thousand services more: the pages that list them stay quick. */
export async function showsManyServices({ page, api, watch }: World): Promise<void> {
  const config = await api.ask<{ services: Json[] }>("GET", "/config");
  const more = Array.from({ length: services }, (_, i) => ({
    name: `many-${String(i).padStart(4, "0")}`,
    listen: [{ address: "192.0.2.20", port: 10_000 + i }],
    key: { offset: 0, length: 8 },
    slots: 251,
    backends: backends.map(({ name, address }) => ({ name, address, port: 9 })),
  }));
  await api.ask("PUT", "/config", { services: [...config.services, ...more] });

  await page.goto(`${origin}/#/events`); // so that the next one begins from nothing
  await within("the overview", patience, async () => {
    await page.goto(`${origin}/#/`);
    await page.reload();
    await heading(page, "Overview");
    await page.getByTestId("service-row").first().waitFor();
  });
  const filter = page.getByLabel("Filter services").first();
  await within("a search for one of them", patience, async () => {
    await filter.fill("many-0777");
    await page.locator('[data-testid="service-row"][data-service="many-0777"]').waitFor();
    await until("the others are gone", patience, async () => {
      return (await page.getByTestId("service-row").count()) === 1;
    });
  });
  await within("the page of one of them", patience, () =>
    open(page, "#/services/many-0777", /many-0777/),
  );
  await within("the list", patience, () => open(page, "#/services", "Services"));
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  expect(nodes < 20_000, `the list of services has ${String(nodes)} elements`);
  await api.ask("PUT", "/config", { services: config.services });
  watch.clean();
}

/** Many sessions, made by packets: one is found, the pages stay quick. */
export async function showsManySessions({ page, api, watch }: World): Promise<void> {
  await api.ask("POST", "/services", {
    name: crowded,
    listen: [{ address: listener, port: crowdedPort }],
    key: { offset: 4, length: 8 },
    max_sessions: 5 * sessions, // those that are not answered have a quarter of the room
    backends: backends.map((b) => ({ ...b, port })),
  });
  const count = async () => {
    const stats = await api.ask<{ services: { name: string; sessions: number }[] }>(
      "GET",
      "/stats",
    );
    return stats.services.find((s) => s.name === crowded)?.sessions ?? 0;
  };
  const wanted = await flood(sessions, count);
  console.log(`# ${String(await count())} sessions`);
  await within("the first sessions", patience, async () => {
    await open(page, `#/sessions?service=${crowded}`, "Sessions");
    await page.getByTestId("session-row").first().waitFor();
  });
  await within("the next ones", patience, async () => {
    const first = await page.getByTestId("session-row").first().getAttribute("data-key");
    await page.getByRole("button", { name: "Next page" }).click();
    await until("other rows are shown", patience, async () => {
      const row = page.getByTestId("session-row").first();
      return (await row.getAttribute("data-key").catch(() => first)) !== first;
    });
  });
  await within("a search for one of them", patience, async () => {
    await page.getByRole("searchbox", { name: "Search" }).fill(wanted);
    await page.getByRole("button", { name: "Search", exact: true }).click();
    await page.locator(`[data-testid="session-row"][data-key="${wanted}"]`).waitFor();
  });
  await within("a search by client", patience, async () => {
    await page.getByRole("searchbox", { name: "Search" }).fill(client(9000));
    await page.getByRole("button", { name: "Search", exact: true }).click();
    await until("other rows are shown", patience, async () => {
      return (await page.getByTestId("session-row").count()) > 1;
    });
  });
  await within("the life of one of them", patience, () =>
    open(page, `#/sessions/${crowded}/${wanted}`, /^Session/),
  );
  await api.ask("DELETE", `/services/${crowded}`);
  watch.clean();
}

/** As many packets may be on their way: fewer than the daemon's queue has room for. */
const onTheWay = 600;

/**
 * Sends a packet of each of many sessions, as fast as the daemon takes them, and
 * returns the key of one of them.
 */
async function flood(count: number, known: () => Promise<number>): Promise<string> {
  const socket = createSocket("udp4");
  socket.on("error", () => undefined);
  socket.bind(0, client(9000));
  await once(socket, "listening");
  const payload = Buffer.alloc(12);
  for (let i = 0; i < count; i++) {
    payload.writeUInt32BE(i, 0);
    payload.writeUInt32BE(0xf100d000, 4);
    payload.writeUInt32BE((i * 2654435761) >>> 0, 8);
    socket.send(Buffer.from(payload), crowdedPort, listener);
    if (i % onTheWay === onTheWay - 1 || i === count - 1) {
      await until(`${String(i + 1)} sessions are there`, 30_000, async () => {
        return (await known()) > i;
      });
    }
  }
  socket.close();
  payload.writeUInt32BE((Math.floor(count / 2) * 2654435761) >>> 0, 8);
  return payload.subarray(4, 12).toString("hex");
}

async function within(what: string, limit: number, run: () => Promise<void>): Promise<void> {
  const started = performance.now();
  await run();
  const took = performance.now() - started;
  console.log(`# ${what}: ${took.toFixed(0)} ms`);
  expect(took < limit, `${what} took ${took.toFixed(0)} ms, want less than ${String(limit)}`);
}

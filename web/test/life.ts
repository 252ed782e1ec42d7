// A service's life over the API, on a client that is generated from its
// description: created, read, changed, given backends, previewed, its sessions
// placed and forgotten, its events read, and deleted.
import createClient from "openapi-fetch";
import type { components, paths } from "../src/api.gen.js";
import { expect, Report } from "./report.js";
import { type Settings, settings, usage } from "./settings.js";
import { eventsOf } from "./stream.js";

type Problem = components["schemas"]["Problem"];
type Service = components["schemas"]["Service"];
type ServiceInput = components["schemas"]["ServiceInput"];

/** One run, with what its steps tell each other. */
class Life {
  private readonly api;
  private readonly path;
  private etag = "";
  private readonly key: string;

  constructor(private readonly set: Settings) {
    const headers = set.token === "" ? {} : { Authorization: `Bearer ${set.token}` };
    this.api = createClient<paths>({ baseUrl: set.url, headers });
    this.path = { service: set.service };
    this.key = set.key === "" ? "5e55101dca11ab1e" : set.key;
  }

  async run(report: Report): Promise<void> {
    await report.step("the daemon is ready", () => this.ready());
    await report.step("create", () => this.create());
    await report.step("read", () => this.read());
    await report.step("a change needs the tag, and the present one", () => this.preconditions());
    await report.step("patch", () => this.patch());
    await report.step("what is wrong is told by its pointers", () => this.wrong());
    await report.step("backends", () => this.backends());
    await report.step("ring and preview", () => this.preview());
    await report.step("explain", () => this.explain());
    await report.step("sessions", () => this.sessions());
    await report.step("events", () => this.events());
    await report.step("figures and rules", () => this.observe());
    await report.step("delete", () => this.delete());
  }

  /** Takes away what a run that failed has left. */
  async clean(): Promise<void> {
    await this.api.DELETE("/v1/services/{service}", {
      params: { path: this.path, header: { "If-Match": "*" } },
    });
  }

  private input(): ServiceInput {
    const { address, port, service, backends } = this.set;
    return {
      name: service,
      listen: [{ address, port }],
      key: { offset: 0, length: 8 },
      slots: 251,
      backends: [
        { name: "a", address: backends[0], port },
        { name: "b", address: backends[1], port },
      ],
    };
  }

  private async ready(): Promise<void> {
    const { data, error } = await this.api.GET("/readyz");
    expect(data?.status === "ok", `not ready: ${JSON.stringify(error ?? data)}`);
    const version = await this.api.GET("/v1/version");
    expect(version.data !== undefined, told(version));
  }

  private async create(): Promise<void> {
    await this.clean();
    const create = () =>
      this.api.POST("/v1/services", {
        params: { header: { "Idempotency-Key": idempotencyKey } },
        body: this.input(),
      });
    const idempotencyKey = crypto.randomUUID();
    const made = await create();
    expect(made.response.status === 201 && made.data !== undefined, told(made));
    expect(
      made.response.headers.get("Location") === `/v1/services/${this.set.service}`,
      "Location is another",
    );
    const again = await create();
    expect(again.response.status === 201, told(again));
    expect(
      again.response.headers.get("Idempotency-Replayed") === "true",
      "the same key made it twice",
    );
    this.keep(made.response);
  }

  private async read(): Promise<void> {
    const { data, response, error } = await this.get();
    expect(data !== undefined, told({ response, error }));
    expect(response.headers.get("ETag") === this.etag, "the tag is not that of the creation");
    expect(data.session_ttl === "2h" && data.backends.length === 2, JSON.stringify(data));
    const same = await this.api.GET("/v1/services/{service}", {
      params: { path: this.path, header: { "If-None-Match": this.etag } },
    });
    expect(same.response.status === 304, told(same));
    expect((await this.names()).includes(this.set.service), "it is not in the list");
  }

  /** Walks over the list of services, a page of two at a time. */
  private async names(): Promise<string[]> {
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.api.GET("/v1/services", {
        params: { query: { limit: 2, ...(cursor === undefined ? {} : { cursor }) } },
      });
      expect(page.data !== undefined, told(page));
      names.push(...page.data.items.map((s: Service) => s.name));
      cursor = page.data.next;
    } while (cursor !== undefined);
    return names;
  }

  private async preconditions(): Promise<void> {
    const body = { stale: "never" };
    const without = await this.api.PATCH("/v1/services/{service}", {
      params: { path: this.path },
      body,
    });
    expect(without.response.status === 428, told(without));
    const stale = await this.api.PATCH("/v1/services/{service}", {
      params: { path: this.path, header: { "If-Match": '"00000000000000000000000000000000"' } },
      body,
    });
    expect(stale.response.status === 412, told(stale));
  }

  private async patch(): Promise<void> {
    const changed = await this.change({ session_ttl: "30m", max_sessions: 1000 });
    expect(changed.session_ttl === "30m" && changed.max_sessions === 1000, JSON.stringify(changed));
    expect(changed.backends.length === 2, "a patch without backends took them away");
    const back = await this.change({ session_ttl: null });
    expect(back.session_ttl === "2h" && back.max_sessions === 1000, JSON.stringify(back));
  }

  private async wrong(): Promise<void> {
    const wrong = await this.api.PATCH("/v1/services/{service}", {
      params: { path: this.path, header: { "If-Match": this.etag } },
      body: { slots: 4, key: { length: 300 }, wieght: 1 },
    });
    expect(wrong.response.status === 422 && wrong.error !== undefined, told(wrong));
    const pointers = (wrong.error.errors ?? []).map((e) => e.pointer).sort();
    expect(pointers.join() === "/key/length,/slots,/wieght", `pointers ${pointers.join()}`);
    expect((await this.get()).data?.slots === 251, "a refused patch changed something");
  }

  private async backends(): Promise<void> {
    const made = await this.api.POST("/v1/services/{service}/backends", {
      params: { path: this.path },
      body: { name: "c", address: this.set.backends[2], port: this.set.port, weight: 2 },
    });
    expect(made.response.status === 201, told(made));
    const { response } = await this.get();
    expect(response.headers.get("ETag") !== this.etag, "a new backend leaves the tag as it was");
    const path = { ...this.path, backend: "c" };
    const drained = await this.api.PATCH("/v1/services/{service}/backends/{backend}", {
      params: { path, header: { "If-Match": made.response.headers.get("ETag") ?? "" } },
      body: { admin: "drain" },
    });
    expect(drained.data?.admin === "drain" && drained.data.weight === 2, told(drained));
    const list = await this.api.GET("/v1/services/{service}/backends", {
      params: { path: this.path },
    });
    expect(list.data?.items.map((b) => b.name).join() === "a,b,c", told(list));
    const gone = await this.api.DELETE("/v1/services/{service}/backends/{backend}", {
      params: { path, header: { "If-Match": "*" } },
    });
    expect(gone.response.status === 204, told(gone));
    this.keep((await this.get()).response);
  }

  private async preview(): Promise<void> {
    const ring = await this.api.GET("/v1/services/{service}/ring", {
      params: { path: this.path, query: { slots: true } },
    });
    expect(ring.data !== undefined, told(ring));
    expect(ring.data.items[0]?.slots?.length === 251, "the ring does not have its slots");
    const input = this.input();
    const preview = await this.api.POST("/v1/services/{service}/ring/preview", {
      params: { path: this.path },
      body: { ...input, backends: (input.backends ?? []).slice(0, 1) },
    });
    expect(preview.data !== undefined, told(preview));
    const change = preview.data.rings[0];
    expect(
      change !== undefined && change.moved > 100 && change.share < 0.6,
      JSON.stringify(preview.data),
    );
    expect((await this.get()).data?.backends.length === 2, "the preview changed something");
  }

  private async explain(): Promise<void> {
    const { address, port } = this.set;
    const listener = address.includes(":")
      ? `[${address}]:${String(port)}`
      : `${address}:${String(port)}`;
    const client = address.includes(":") ? "[2001:db8::7]:40000" : "198.18.0.7:40000";
    const { data, response, error } = await this.api.POST("/v1/explain", {
      body: { packet: "0123456789abcdef00", client, listener },
    });
    expect(data !== undefined, told({ response, error }));
    expect(
      data.service === this.set.service && data.key === "0123456789abcdef",
      JSON.stringify(data),
    );
    expect(data.verdict === "balanced" && data.steps.length > 3, JSON.stringify(data));
  }

  private async sessions(): Promise<void> {
    const path = { ...this.path, key: this.key };
    let from: string | undefined;
    if (this.set.key !== "") {
      from = await this.session(path);
    }
    const to = from === "a" ? "b" : "a";
    const placed = await this.api.PUT("/v1/services/{service}/sessions/{key}", {
      params: { path },
      body: { backend: to },
    });
    expect(placed.data?.session.backend === to, told(placed));
    expect(placed.data.created === (from === undefined), JSON.stringify(placed.data));
    const found = await this.api.GET("/v1/services/{service}/sessions", {
      params: { path: this.path, query: { key_prefix: this.key.slice(0, 4), backend: to } },
    });
    expect(found.data?.items.some((s) => s.key === this.key && s.placed) === true, told(found));
    const gone = await this.api.DELETE("/v1/services/{service}/sessions/{key}", {
      params: { path },
    });
    expect(gone.response.status === 204, told(gone));
  }

  /** Waits for the session that somebody's packets make; returns its backend. */
  private async session(path: { service: string; key: string }): Promise<string> {
    const until = performance.now() + 30_000;
    for (;;) {
      const { data, response, error } = await this.api.GET(
        "/v1/services/{service}/sessions/{key}",
        {
          params: { path },
        },
      );
      if (data?.backend !== undefined) {
        return data.backend;
      }
      expect(performance.now() < until, `no session ${path.key}: ${told({ response, error })}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  private async events(): Promise<void> {
    const query = { kind: ["config-changed", "audit"] };
    const list = await this.api.GET("/v1/events", { params: { query: { ...query, limit: 1000 } } });
    expect(typeof list.data === "object", told(list));
    const last = list.data.items.at(-1);
    expect(last !== undefined, told(list));
    await this.change({ stale: "never" });

    const stop = new AbortController();
    const timer = setTimeout(() => {
      stop.abort(new Error("no event came"));
    }, 10_000);
    const { data, response } = await this.api.GET("/v1/events", {
      params: { query, header: { "Last-Event-ID": last.id } },
      headers: { Accept: "text/event-stream" },
      parseAs: "stream",
      signal: stop.signal,
    });
    expect(data instanceof ReadableStream, `${String(response.status)}, and no stream`);
    for await (const { id, event, data: text } of eventsOf(data)) {
      const told = JSON.parse(text) as components["schemas"]["Event"];
      expect(event === told.kind && id === told.id, `${event} ${id} is ${text}`);
      break;
    }
    clearTimeout(timer);
    stop.abort();
  }

  private async observe(): Promise<void> {
    const stats = await this.api.GET("/v1/stats");
    const own = stats.data?.services.find((s) => s.name === this.set.service);
    expect(own?.backends.map((b) => b.name).join() === "a,b", told(stats));
    const checks = await this.api.GET("/v1/checks");
    expect((checks.data?.items.length ?? 0) > 0, told(checks));
    const rules = await this.api.GET("/v1/ruleset", { headers: { Accept: "application/json" } });
    expect(rules.data !== undefined, told(rules));
    const text = typeof rules.data === "string" ? rules.data : rules.data.text;
    expect(text.includes("table inet roamlb"), "the rules are not roamlb's");
  }

  private async delete(): Promise<void> {
    const gone = await this.api.DELETE("/v1/services/{service}", {
      params: { path: this.path, header: { "If-Match": this.etag } },
    });
    expect(gone.response.status === 204, told(gone));
    const missing = await this.get();
    expect(missing.response.status === 404, told(missing));
    expect(missing.error?.type === "urn:roamlb:problem:not-found", told(missing));
  }

  private get() {
    return this.api.GET("/v1/services/{service}", { params: { path: this.path } });
  }

  /** Changes the service, and keeps its new tag. */
  private async change(body: Record<string, unknown>): Promise<Service> {
    const { data, response, error } = await this.api.PATCH("/v1/services/{service}", {
      params: { path: this.path, header: { "If-Match": this.etag } },
      headers: { "Content-Type": "application/merge-patch+json" },
      body,
    });
    expect(data !== undefined, told({ response, error }));
    this.keep(response);
    return data;
  }

  private keep(response: Response): void {
    this.etag = response.headers.get("ETag") ?? "";
    expect(this.etag !== "", "the answer has no ETag");
  }
}

/** What an answer said that was not as expected. */
function told(answer: { response: Response; data?: unknown; error?: Problem | undefined }): string {
  const { response, data, error } = answer;
  return `${String(response.status)} of ${response.url}: ${JSON.stringify(error ?? data)}`;
}

async function main(): Promise<number> {
  let set: Settings;
  try {
    set = settings(process.env);
  } catch (error) {
    console.error(`life: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 2;
  }
  console.log("TAP version 13");
  const report = new Report();
  const life = new Life(set);
  await life.run(report);
  const code = report.end();
  if (code !== 0) {
    await life.clean().catch(() => undefined); // what failed is told already
  }
  return code;
}

process.exitCode = await main();

// What the tests have in common: the daemon, a browser, and who is signed in.
import type { Browser, BrowserContext, Page } from "playwright-core";
import { Api } from "./api.js";
import { launch, signIn, Watch } from "./browser.js";
import { Daemon } from "./daemon.js";
import { Echo } from "./traffic.js";

/** The service of most tests, and the port of its listener. */
export const service = "game";
export const port = 7777;

export class World {
  private constructor(
    readonly daemon: Daemon,
    readonly browser: Browser,
    readonly api: Api,
    readonly token: string,
    readonly readToken: string,
    /** Somebody with the scope write, on a wide screen. */
    readonly page: Page,
    private readonly echo: Echo,
    readonly watch: Watch,
  ) {}

  static async create(program: string, dir: string): Promise<World> {
    const daemon = new Daemon(program, dir);
    await daemon.start();
    const token = daemon.token();
    const api = new Api(token);
    const made = await api.ask<{ secret: string }>("POST", "/tokens", {
      name: "reader",
      scope: "read",
    });
    const browser = await launch();
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const watch = new Watch();
    await watch.on(context);
    const page = await context.newPage();
    const echo = await Echo.at(port);
    return new World(daemon, browser, api, token, made.secret, page, echo, watch);
  }

  /** A browser of somebody else, on a page that is signed in. */
  async visitor(token = this.token, width = 1280): Promise<Page> {
    const context = await this.stranger(width);
    const page = await context.newPage();
    await signIn(page, token);
    return page;
  }

  /** A browser of somebody who has not signed in. */
  async stranger(width = 1280): Promise<BrowserContext> {
    const context = await this.browser.newContext({ viewport: { width, height: 900 } });
    await this.watch.on(context);
    return context;
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.echo.close();
    await this.daemon.stop();
  }
}

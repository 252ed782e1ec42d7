// The daemon under test, in the network namespace that scripts/browser.sh made.
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./until.js";

/** Where the API and the dashboard answer. */
export const origin = "http://127.0.0.1:7070";

export class Daemon {
  private process: ChildProcess | undefined;
  private readonly config: string;
  private readonly log: string;

  /** The program's path, and a directory for its files. */
  constructor(
    readonly program: string,
    dir: string,
  ) {
    this.config = join(dir, "roamlb.yaml");
    this.log = join(dir, "log");
    const text = `api: {listen: "127.0.0.1:7070", socket: ${dir}/roamlb.sock}\nstate: ${dir}/state.json\n`;
    writeFileSync(this.config, text);
  }

  /** Starts the daemon, and returns when it is ready. */
  async start(): Promise<void> {
    const log = openSync(this.log, "a");
    const child = spawn(this.program, ["serve", "--config", this.config], {
      stdio: ["ignore", log, log],
    });
    this.process = child;
    await until("the daemon is ready", 30_000, async () => {
      if (child.exitCode !== null) {
        throw new Error(`the daemon has ended:\n${this.told()}`);
      }
      const answer = await fetch(`${origin}/readyz`).catch(() => undefined);
      return answer?.ok === true;
    });
  }

  /** Ends the daemon by a signal and waits for that. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (child?.exitCode !== null) {
      return;
    }
    const ended = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await ended;
  }

  /** The token that the first start wrote to its log. */
  token(): string {
    const found = /rlb_[0-9A-Za-z_-]+/.exec(this.told());
    if (found === null) {
      throw new Error(`the daemon has not told its first token:\n${this.told()}`);
    }
    return found[0];
  }

  /** All that the daemon has written. */
  told(): string {
    return readFileSync(this.log, "utf8");
  }
}

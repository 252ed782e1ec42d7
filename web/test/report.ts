// Counts steps and prints them as TAP (Test Anything Protocol, version 13).

/** What a step found out of order. */
export class Failed extends Error {}

/** Fails the step unless something holds. */
export function expect(holds: boolean, otherwise: string): asserts holds {
  if (!holds) {
    throw new Failed(otherwise);
  }
}

/** Runs steps one after the other, and none after one that failed unless it is to go on. */
export class Report {
  private passed = 0;
  private failed = 0;

  constructor(private readonly goOn = false) {}

  async step(name: string, run: () => Promise<void>): Promise<void> {
    if (this.failed > 0 && !this.goOn) {
      return;
    }
    const started = performance.now();
    try {
      await run();
    } catch (error) {
      this.failed++;
      console.log(`not ok ${this.number()} - ${name}`);
      console.log(comment(error));
      return;
    }
    this.passed++;
    const took = (performance.now() - started).toFixed(0);
    console.log(`ok ${this.number()} - ${name} # ${took} ms`);
  }

  /** Prints the plan and the sum. Returns the exit code, 0 where all passed. */
  end(): number {
    console.log(`1..${String(this.passed + this.failed)}`);
    console.log(`${String(this.passed)} passed, ${String(this.failed)} failed`);
    return this.failed === 0 ? 0 : 1;
  }

  private number(): string {
    return String(this.passed + this.failed);
  }
}

function comment(error: unknown): string {
  const known = error instanceof Failed ? error.message : undefined;
  const text = known ?? (error instanceof Error ? (error.stack ?? error.message) : String(error));
  return text.replace(/^/gm, "# ");
}

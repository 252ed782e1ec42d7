// Waits for what is to come true.

/** Asks again and again until something holds; the last thing that went wrong is told when it does not in time. */
export async function until(
  what: string,
  limit: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + limit;
  while (!(await holds())) {
    if (performance.now() > end) {
      throw new Error(`still waiting after ${String(limit / 1000)} s: ${what}`);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
}

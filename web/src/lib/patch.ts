// What two documents differ in.

type Members = Record<string, unknown>;

export function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether two JSON documents say the same. The order of members means nothing. */
export function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => same(item, b[i]));
  }
  if (isMembers(a) && isMembers(b)) {
    const names = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...names].every((name) => same(a[name], b[name]));
  }
  return a === b;
}

/** The JSON merge patch (RFC 7396) that makes to of from. Lists are replaced. */
export function mergePatch(from: Members, to: Members): Members {
  const patch: Members = {};
  for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
    const [before, after] = [from[name], to[name]];
    if (same(before, after)) {
      continue;
    }
    if (after === undefined) {
      patch[name] = null;
    } else {
      patch[name] = isMembers(before) && isMembers(after) ? mergePatch(before, after) : after;
    }
  }
  return patch;
}

/** One member that differs. */
export interface Difference {
  name: string;
  before: unknown;
  after: unknown;
}

/** The top members that differ, in the order of their names. */
export function differences(before: Members, after: Members): Difference[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .sort()
    .filter((name) => !same(before[name], after[name]))
    .map((name) => ({ name, before: before[name], after: after[name] }));
}

/** A value in few words. */
export function inWords(value: unknown): string {
  if (value === undefined || value === "") {
    return "nothing";
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}

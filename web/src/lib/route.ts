// The pages' addresses: #/services/vpn?a=b.

export interface Route {
  path: string[];
  query: Map<string, string>;
}

/** Reads what stands behind the # of an address. Whatever it is, it is a route. */
export function parseRoute(hash: string): Route {
  const text = hash.replace(/^#\/?/, "");
  const mark = text.indexOf("?");
  const path = (mark < 0 ? text : text.slice(0, mark)).split("/").filter((part) => part !== "");
  const query = new Map(new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1)));
  return { path: path.map(decoded), query };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % is what somebody typed
  }
}

/** The address of a page. Members of the query that are empty are left out. */
export function href(path: readonly string[], query: Record<string, string> = {}): string {
  const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const tail = params.toString();
  // A colon is fine in a fragment, and hashes of keys stay readable.
  const parts = path.map((part) => encodeURIComponent(part).replaceAll("%3A", ":"));
  return `#/${parts.join("/")}${tail === "" ? "" : `?${tail}`}`;
}

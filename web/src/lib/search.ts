// What somebody typed into the search for sessions.

export interface SessionQuery {
  key_prefix?: string;
  key_hash?: string;
  client?: string;
}

export type Search = { ok: true; query: SessionQuery } | { ok: false; error: string };

/** Tells a hash, a client's address and the beginning of a key from each other. */
export function parseSearch(text: string): Search {
  const what = text.trim();
  if (what === "") {
    return { ok: true, query: {} };
  }
  if (/^h:[0-9a-f]{16}$/.test(what)) {
    return { ok: true, query: { key_hash: what } };
  }
  if (isAddress(what)) {
    return { ok: true, query: { client: what } };
  }
  const digits = what.replace(/^0x/i, "").replace(/\s+/g, "");
  if (/^[0-9a-f]+$/i.test(digits)) {
    return digits.length % 2 === 0
      ? { ok: true, query: { key_prefix: digits.toLowerCase() } }
      : { ok: false, error: "a key's bytes have two digits each: one is missing" };
  }
  return {
    ok: false,
    error:
      "is no key in hex (8c31f2), no hash (h:…), and no client (198.51.100.7 or [2001:db8::7]:4000)",
  };
}

function isAddress(text: string): boolean {
  return (
    /^\d{1,3}(\.\d{1,3}){3}(:\d{1,5})?$/.test(text) ||
    /^\[[0-9a-f:.]+\]:\d{1,5}$/i.test(text) ||
    (/^[0-9a-f:.]+$/i.test(text) && (text.match(/:/g) ?? []).length > 1)
  );
}

/** A key that is whole, or a hash: what names a session in an address. */
export function isKey(text: string): boolean {
  return /^(h:[0-9a-f]{16}|([0-9a-f]{2}){1,256})$/i.test(text);
}

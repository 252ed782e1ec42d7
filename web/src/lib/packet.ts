// Where a UDP payload begins in an IP packet.

/** The headers before the payload in bytes; null for what is no plain UDP packet. */
export function payloadAt(bytes: readonly number[]): number | null {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes[9] === 17) {
    return ((bytes[0] ?? 0) & 15) * 4 + 8;
  }
  if (version === 6) {
    return afterExtensions(bytes);
  }
  return null;
}

// Hop-by-hop options, routing, destination options: next header, and the length in
// units of eight bytes without the first.
const skipped = [0, 43, 60];

function afterExtensions(bytes: readonly number[]): number | null {
  let next = bytes[6];
  let at = 40;
  while (next !== undefined && skipped.includes(next) && at < bytes.length) {
    next = bytes[at];
    at += 8 * ((bytes[at + 1] ?? 0) + 1);
  }
  return next === 17 ? at + 8 : null;
}

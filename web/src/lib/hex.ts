// Bytes as people write them.

export type Hex = { ok: true; bytes: number[] } | { ok: false; error: string };

/**
 * Reads bytes in hex. White space, colons, commas and 0x between them are fine, so
 * that what other tools print can be pasted as it is.
 */
export function parseHex(text: string): Hex {
  const digits = text.replace(/0x/gi, "").replace(/[\s:,-]+/g, "");
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong !== null) {
    return { ok: false, error: `${JSON.stringify(wrong[0])} is no hex digit` };
  }
  if (digits.length % 2 !== 0) {
    return { ok: false, error: "the last byte has only one digit" };
  }
  const bytes: number[] = [];
  for (let i = 0; i < digits.length; i += 2) {
    bytes.push(parseInt(digits.slice(i, i + 2), 16));
  }
  return { ok: true, bytes };
}

/** One byte as two digits. */
export function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** Bytes in hex, with nothing between them. */
export function toHex(bytes: readonly number[]): string {
  return bytes.map(hexByte).join("");
}

/** What a byte is in ASCII; a dot for what cannot be printed. */
export function printable(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".";
}

/** A key as it is shown in narrow places: its beginning. */
export function shortKey(key: string): string {
  return key.length > 18 ? `${key.slice(0, 16)}…` : key;
}

// Numbers and times for people.

/** 1234567 as 1,234,567. */
export function count(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}

/** A rate a second: small ones with a decimal, large ones without. */
export function rate(n: number): string {
  return n >= 100 || n === 0 ? count(n) : n.toFixed(n < 10 ? 1 : 0);
}

/** A part of a whole as 12.3 %. */
export function percent(part: number, digits = 1): string {
  return `${(part * 100).toFixed(digits)} %`;
}

const units: [number, string][] = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

/** A span of seconds in its two largest units: 2 h 5 min. */
export function duration(seconds: number): string {
  if (seconds < 0.001) {
    return `${Math.max(0, Math.round(seconds * 1e6))} µs`;
  }
  if (seconds < 1) {
    return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  }
  let left = Math.round(seconds);
  const words: string[] = [];
  for (const [size, name] of units) {
    if (left >= size && words.length < 2) {
      words.push(`${Math.floor(left / size)} ${name}`);
      left %= size;
    } else if (words.length > 0) {
      break;
    }
  }
  return words.join(" ");
}

/** How long ago something was. */
export function ago(then: string | number, now: number): string {
  const seconds = (now - new Date(then).getTime()) / 1000;
  return seconds < 1 ? "just now" : `${duration(seconds)} ago`;
}

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const day = new Intl.DateTimeFormat("en-CA", { dateStyle: "short" });

/** The time of day; with the date where that is not today's. */
export function time(text: string, now = Date.now()): string {
  const then = new Date(text);
  const date = day.format(then);
  const at = clock.format(then);
  return date === day.format(now) ? at : `${date} ${at}`;
}

/** "1 session", "2 sessions". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

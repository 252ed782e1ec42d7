// The nft table's text, taken apart for showing.

export interface RuleLine {
  text: string;
  /** The chain, map or set that it is in, as "chain steer4-vpn"; empty outside. */
  block: string;
}

// Of a map's elements the first lines are kept: rings and sessions can have millions.
const kept = 3;

/** Takes the text in pieces and keeps its lines, at most as many as it is told. */
export class RulesetReader {
  readonly lines: RuleLine[] = [];
  /** Whether there was more than is kept. */
  cut = false;
  private rest = "";
  private block = "";
  private elements = -1; // lines of them that went by; -1 outside

  constructor(private readonly most: number) {}

  add(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      this.line(line);
    }
  }

  end(): void {
    if (this.rest !== "") {
      this.line(this.rest);
      this.rest = "";
    }
  }

  private line(text: string): void {
    const opened = /^\t?(table inet|chain|map|set|ct timeout|counter) (\S+)/.exec(text);
    if (opened !== null) {
      this.block = opened[1] === "table inet" ? "" : `${opened[1] ?? ""} ${opened[2] ?? ""}`;
    }
    const begins = text.includes("elements = {");
    if (begins) {
      this.elements = 0;
    }
    const ends = this.elements >= 0 && text.trimEnd().endsWith("}");
    if (this.elements >= kept && !ends) {
      this.elements++;
      return;
    }
    if (this.elements > kept && ends) {
      this.push(`\t\t\t     … ${this.elements - kept} more lines`);
    }
    this.push(text);
    this.elements = ends ? -1 : this.elements < 0 ? -1 : this.elements + 1;
    if (text === "\t}") {
      this.block = "";
    }
  }

  private push(text: string): void {
    if (this.lines.length >= this.most) {
      this.cut = true;
      return;
    }
    this.lines.push({ text: text.replaceAll("\t", "  "), block: this.block });
  }
}

/** What a piece of a line is to the eye. */
export type Look = "comment" | "keyword" | "set" | "number" | "verdict" | "plain";

export interface Piece {
  text: string;
  look: Look;
}

const pattern =
  /("[^"]*"|#.*$)|(@[a-z][\w,-]*)|\b(accept|drop|reject|queue|QUEUE|goto|jump|return|dnat|snat|masquerade)\b|\b(table|chain|map|set|type|hook|priority|policy|flags|timeout|size|elements|meta|mark|ct|original|zone|state|udp|th|nh|ip6?|daddr|saddr|dport|sport|inet|counter|packets|bytes|comment|jhash|mod|seed|update|delete|vmap|to|protocol|event|expires|fib)\b|\b(0x[0-9a-f]+|\d[\w.:]*)\b/g;

const looks: Look[] = ["comment", "set", "verdict", "keyword", "number"];

/** A line in pieces that look alike. */
export function piecesOf(line: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of line.matchAll(pattern)) {
    if (match.index > end) {
      pieces.push({ text: line.slice(end, match.index), look: "plain" });
    }
    const group = match.slice(1).findIndex((text: string | undefined) => text !== undefined);
    pieces.push({ text: match[0], look: looks[group] ?? "plain" });
    end = match.index + match[0].length;
  }
  if (end < line.length) {
    pieces.push({ text: line.slice(end), look: "plain" });
  }
  return pieces;
}

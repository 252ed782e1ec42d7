// A key as the API has it, and as its editor and its picture need it.
import type { Key } from "../api/types.ts";
import type { Mark } from "./bytes.ts";

export interface FieldDraft {
  offset: string;
  length: string;
  mask: string;
}

export interface MatchDraft {
  offset: string;
  mask: string;
  value: string;
}

export interface VariantDraft {
  name: string;
  match: MatchDraft[];
  fields: FieldDraft[];
}

/** What is typed, which can be wrong. Without several, the first field is the key. */
export interface KeyDraft {
  several: boolean;
  variants: VariantDraft[];
  fallback: string;
}

export const noField: FieldDraft = { offset: "", length: "", mask: "" };
export const noMatch: MatchDraft = { offset: "", mask: "", value: "" };
export const noVariant: VariantDraft = { name: "", match: [], fields: [noField] };

/** A number where the text is one, the text itself where it is not, nothing of nothing. */
export function numberOf(text: string): number | string | undefined {
  const trimmed = text.trim();
  if (trimmed === "") {
    return undefined;
  }
  return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : trimmed;
}

/** Without the members that are undefined, and what is in lists likewise. */
export function given(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

export function textOf(text: string): string | undefined {
  return text.trim() === "" ? undefined : text.trim();
}

/** The key as it is sent. */
export function keyOf(draft: KeyDraft): Record<string, unknown> {
  if (!draft.several) {
    const field = draft.variants[0]?.fields[0] ?? noField;
    return { ...fieldOf(field), fallback: draft.fallback };
  }
  return { variants: draft.variants.map(variantOf), fallback: draft.fallback };
}

function variantOf(variant: VariantDraft): Record<string, unknown> {
  return given({
    name: textOf(variant.name),
    match: variant.match.length === 0 ? undefined : variant.match.map(matchOf),
    fields: variant.fields.map(fieldOf),
  });
}

function fieldOf(field: FieldDraft): Record<string, unknown> {
  return given({
    offset: numberOf(field.offset),
    length: numberOf(field.length),
    mask: textOf(field.mask),
  });
}

function matchOf(match: MatchDraft): Record<string, unknown> {
  return given({
    offset: numberOf(match.offset),
    mask: textOf(match.mask),
    value: textOf(match.value),
  });
}

/** What the API has, for the editor. */
export function keyDraft(key: Key): KeyDraft {
  const fallback = key.fallback ?? "source";
  if (key.variants === undefined) {
    const field = {
      offset: shown(key.offset),
      length: shown(key.length),
      mask: key.mask ?? "",
    };
    return { several: false, variants: [{ ...noVariant, fields: [field] }], fallback };
  }
  const variants = key.variants.map((v) => ({
    name: v.name ?? "",
    match: (v.match ?? []).map((m) => ({
      offset: shown(m.offset),
      mask: m.mask ?? "",
      value: m.value,
    })),
    fields: v.fields.map((f) => ({
      offset: shown(f.offset),
      length: shown(f.length),
      mask: f.mask ?? "",
    })),
  }));
  return { several: true, variants, fallback };
}

function shown(n: number | undefined): string {
  return n === undefined ? "" : String(n);
}

/** The bytes that a variant takes and looks at, where they are numbers already. */
export function marksOf(variant: VariantDraft, matches = true): Mark[] {
  const fields = variant.fields.map((f, i) =>
    mark(f.offset, f.length, i, variant.fields.length > 1 ? `key, field ${i + 1}` : "key"),
  );
  const looked = variant.match.map((m) =>
    mark(m.offset, String(m.value.length / 2), 5, `must be ${m.value}`),
  );
  return [...fields, ...(matches ? looked : [])].filter((m) => m !== null);
}

function mark(offset: string, length: string, tone: number, label: string): Mark | null {
  const [from, n] = [numberOf(offset), numberOf(length)];
  if (typeof from !== "number" || typeof n !== "number" || from < 0 || n < 1) {
    return null;
  }
  return { offset: from, length: Math.min(n, 256), tone, label };
}

/** How long a payload has to be for its key to be in it, and a little more. */
export function reach(marks: readonly Mark[]): number {
  const end = Math.max(0, ...marks.map((m) => m.offset + m.length));
  return Math.max(32, Math.ceil((end + 1) / 16) * 16);
}

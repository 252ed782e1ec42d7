// JSON pointers (RFC 6901), and the faults of a problem document by them.

/** One thing that is wrong, as a problem document has it. */
export interface Fault {
  pointer?: string;
  parameter?: string;
  header?: string;
  detail: string;
}

/** A pointer of parts: pointer("listen", 0, "port") is /listen/0/port. */
export function pointer(...parts: readonly (string | number)[]): string {
  return parts
    .map((part) => "/" + String(part).replaceAll("~", "~0").replaceAll("/", "~1"))
    .join("");
}

/** The parts of a pointer. */
export function partsOf(text: string): string[] {
  return text
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** What a pointer points to in a document; undefined where there is nothing. */
export function at(document: unknown, text: string): unknown {
  let value = document;
  for (const part of partsOf(text)) {
    if (typeof value !== "object" || value === null) {
      return undefined;
    }
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/** The faults of a form: of its fields by their pointers, and the others. */
export interface Sorted {
  fields: Map<string, string>;
  rest: Fault[];
}

/**
 * Gives each fault to the field that it points to, or to the nearest one above; the
 * rest belongs to no field.
 */
export function sortFaults(faults: readonly Fault[], fields: readonly string[]): Sorted {
  const sorted: Sorted = { fields: new Map(), rest: [] };
  for (const fault of faults) {
    const field = fault.pointer === undefined ? undefined : nearest(fault.pointer, fields);
    if (field === undefined) {
      sorted.rest.push(fault);
      continue;
    }
    const before = sorted.fields.get(field);
    sorted.fields.set(field, before === undefined ? fault.detail : `${before}; ${fault.detail}`);
  }
  return sorted;
}

function nearest(text: string, fields: readonly string[]): string | undefined {
  for (let p = text; p !== ""; p = p.slice(0, p.lastIndexOf("/"))) {
    if (fields.includes(p)) {
      return p;
    }
  }
  return undefined;
}

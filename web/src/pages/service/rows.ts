// Lists of drafts, changed.

export function changed<T>(list: readonly T[], at: number, part: Partial<T>): T[] {
  return list.map((item, i) => (i === at ? { ...item, ...part } : item));
}

export function without<T>(list: readonly T[], at: number): T[] {
  return list.filter((_, i) => i !== at);
}

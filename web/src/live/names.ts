// The names of services, for choosing one of them.
import { useMemo } from "preact/hooks";
import { live } from "./stats.ts";
import { useStore } from "./store.ts";

export interface Names {
  service: string;
  backends: string[];
}

/** The services and their backends; it stays the same while they do. */
export function useNames(): readonly Names[] {
  const now = useStore(live);
  const names = (now?.stats.services ?? []).map((s) => ({
    service: s.name,
    backends: s.backends.map((b) => b.name),
  }));
  const text = JSON.stringify(names);
  return useMemo(() => names, [text]);
}

// The faults of a part of a service.
import type { Problem } from "./types.ts";

/** A problem with one backend of a service, told as that of a backend alone. */
export function ofBackend(problem: Problem | null): Problem | null {
  if (problem?.errors === undefined) {
    return problem;
  }
  const errors = problem.errors.map((fault) =>
    fault.pointer === undefined
      ? fault
      : { ...fault, pointer: fault.pointer.replace(/^\/backends\/\d+/, "") },
  );
  return { ...problem, errors };
}

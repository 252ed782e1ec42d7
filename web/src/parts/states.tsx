// What is shown where there is nothing yet, nothing at all, or a problem.
import type { ComponentChildren } from "preact";
import { problemText } from "../api/client.ts";
import type { Problem } from "../api/types.ts";

export function Loading() {
  return (
    <p class="loading" role="status">
      Loading…
    </p>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function ProblemNote({ problem }: { problem: Problem | null }) {
  return problem === null ? null : (
    <p class="notice bad" role="alert" data-testid="problem">
      {problemText(problem)}
    </p>
  );
}

import type { ComponentChildren } from "preact";

/** A strip of names with values. */
export function Facts({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <section class="facts card" aria-label={label}>
      <dl>{children}</dl>
    </section>
  );
}

export function Fact({
  name,
  value,
  help,
}: {
  name: string;
  value: ComponentChildren;
  help?: string;
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
      {help !== undefined && <dd class="help">{help}</dd>}
    </div>
  );
}

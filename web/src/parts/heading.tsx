// A page's heading, which is also the window's title.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { moved } from "../live/location.ts";

interface Props {
  title: string;
  /** The way here: pages above this one. */
  above?: [string, string][];
  children?: ComponentChildren; // what can be done
  lead?: ComponentChildren;
}

export function Heading({ title, above = [], children, lead }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · roamlb`;
    if (moved) {
      heading.current?.focus({ preventScroll: true });
    }
  }, [title]);
  return (
    <div class="heading">
      {above.length > 0 && (
        <p class="crumbs">
          {above.map(([name, to]) => (
            <>
              <a href={to}>{name}</a>
              <span aria-hidden="true"> / </span>
            </>
          ))}
        </p>
      )}
      <div class="heading-row">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        <div class="actions">{children}</div>
      </div>
      {lead !== undefined && <p class="lead">{lead}</p>}
    </div>
  );
}

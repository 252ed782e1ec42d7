// A button for what changes something: who may only read is told why it is off.
import type { ComponentChildren } from "preact";
import { useRefusal } from "../api/identity.ts";

interface Props {
  children: ComponentChildren;
  onClick?: () => unknown;
  label?: string; // where the text alone does not name it
  class?: string;
  type?: "button" | "submit";
  disabled?: boolean;
}

export function WriteButton({ children, onClick, label, disabled = false, ...rest }: Props) {
  const refusal = useRefusal();
  const off = refusal !== "";
  return (
    <button
      type={rest.type ?? "button"}
      class={rest.class ?? ""}
      aria-label={label}
      disabled={disabled && !off}
      aria-disabled={off ? true : undefined}
      aria-describedby={off ? "read-only" : undefined}
      title={off ? refusal : undefined}
      onClick={(event) => {
        if (off) {
          event.preventDefault();
          return;
        }
        onClick?.();
      }}
    >
      {children}
    </button>
  );
}

/** A link to a page that changes something. */
export function WriteLink({
  to,
  children,
  ...rest
}: {
  to: string;
  children: string;
  class?: string;
}) {
  const refusal = useRefusal();
  const look = `button ${rest.class ?? ""}`;
  return refusal === "" ? (
    <a class={look} href={to}>
      {children}
    </a>
  ) : (
    <a class={look} role="link" aria-disabled="true" aria-describedby="read-only" title={refusal}>
      {children}
    </a>
  );
}

// What surrounds a table: it scrolls where the screen is too narrow, by keyboard too.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  label: string;
  children: ComponentChildren;
  card?: boolean;
  busy?: boolean;
}

export function TableBox({ label, children, card = true, busy = false }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [scrolls, setScrolls] = useState(false);
  useEffect(() => {
    const element = box.current;
    if (element === null) {
      return undefined;
    }
    const resized = new ResizeObserver(() => {
      setScrolls(element.scrollWidth > element.clientWidth);
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
    };
  }, []);
  const reachable = scrolls ? { tabIndex: 0, role: "region" as const, "aria-label": label } : {};
  return (
    <div class={`table-box ${card ? "card" : ""}`} ref={box} aria-busy={busy} {...reachable}>
      {children}
    </div>
  );
}

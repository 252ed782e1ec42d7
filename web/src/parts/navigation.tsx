// The way to the pages.
import { useEffect, useRef } from "preact/hooks";
import { href } from "../lib/route.ts";

const pages: [string, string][] = [
  ["", "Overview"],
  ["services", "Services"],
  ["sessions", "Sessions"],
  ["roaming", "Roaming"],
  ["explain", "Explain"],
  ["ruleset", "Ruleset"],
  ["events", "Events"],
  ["host", "Host"],
  ["tokens", "Tokens"],
];

export function Navigation({ path }: { path: readonly string[] }) {
  const here = path[0] ?? "";
  const nav = useRef<HTMLElement>(null);
  // On a phone the list is wider than the screen.
  useEffect(() => {
    const list = nav.current?.querySelector("ul");
    const link = nav.current?.querySelector<HTMLElement>("[aria-current]");
    if (list !== null && list !== undefined && link !== null && link !== undefined) {
      list.scrollLeft = link.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
    }
  }, [here]);
  return (
    <nav class="navigation" aria-label="Pages" ref={nav}>
      <ul>
        {pages.map(([name, title]) => (
          <li key={name}>
            <a
              href={href(name === "" ? [] : [name])}
              aria-current={name === here ? "page" : undefined}
            >
              {title}
            </a>
          </li>
        ))}
        <li class="apart">
          <a href="/docs">API</a>
        </li>
      </ul>
    </nav>
  );
}

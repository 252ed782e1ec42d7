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
  return (
    <nav class="navigation" aria-label="Pages">
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

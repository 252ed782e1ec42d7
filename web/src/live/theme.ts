// Light or dark, as the system has it or as somebody chose.
import { Store } from "./store.ts";

export type Theme = "system" | "light" | "dark";

const place = "roamlb.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

export const theme = new Store<Theme>(chosen());

/** What it comes to now. */
export const look = new Store<"light" | "dark">("light");

function chosen(): Theme {
  const kept = localStorage.getItem(place);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** Has the page follow the theme. Called once. */
export function applyTheme(): void {
  const apply = () => {
    const now = theme.value === "system" ? (dark.matches ? "dark" : "light") : theme.value;
    document.documentElement.dataset["theme"] = now;
    look.set(now);
    localStorage.setItem(place, theme.value);
  };
  apply();
  theme.subscribe(apply);
  dark.addEventListener("change", apply);
}

// Which page is shown.
import { parseRoute, type Route } from "../lib/route.ts";
import { Store } from "./store.ts";

export const route = new Store<Route>(parseRoute(window.location.hash));

window.addEventListener("hashchange", () => {
  route.set(parseRoute(window.location.hash));
});

/** Goes to a page. */
export function go(to: string): void {
  window.location.hash = to;
}

/** Puts another address in the place of this one, as filters do. */
export function replace(to: string): void {
  window.history.replaceState(null, "", to);
  route.set(parseRoute(to));
}

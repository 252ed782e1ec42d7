// Which page is shown.
import { parseRoute, type Route } from "../lib/route.ts";
import { Store } from "./store.ts";

export const route = new Store<Route>(parseRoute(window.location.hash));

/** Whether somebody has gone from a page to another: then a heading is to be read. */
export let moved = false;

window.addEventListener("hashchange", () => {
  moved = true;
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

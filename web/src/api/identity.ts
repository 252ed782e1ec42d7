// Who is signed in. The token itself is in a cookie that no script can read.
import { Store, useStore } from "../live/store.ts";
import type { Identity } from "./types.ts";

/** unknown while nobody has asked yet; nobody where the sign-in page is due. */
export type Who = "unknown" | "nobody" | Identity;

export const who = new Store<Who>("unknown");

export function useIdentity(): Identity | null {
  const now = useStore(who);
  return typeof now === "string" ? null : now;
}

/** Why a control that changes something cannot be used; empty where it can. */
export function useRefusal(): string {
  const identity = useIdentity();
  if (identity === null || identity.scope === "write") {
    return "";
  }
  return `The token ${identity.name} may only read: sign in with one that may write.`;
}

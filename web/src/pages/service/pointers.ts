// The JSON pointers of the fields that the form of a draft has.
import { pointer } from "../../lib/pointer.ts";
import { plainMembers, type Draft } from "./draft.ts";
import { probeMembers } from "./probe.ts";

export function pointersOf(draft: Draft): string[] {
  return [
    "/name",
    ...draft.listen.flatMap((_, i) => [
      pointer("listen", i, "address"),
      pointer("listen", i, "port"),
    ]),
    "/listen",
    ...keyPointers(draft),
    ...plainMembers.map((name) => pointer(name)),
    "/allow",
    "/deny",
    "/timeouts/unreplied",
    "/timeouts/replied",
    ...probeMembers(draft.health["kind"] ?? "none").map((m) => m.pointer),
    "/health",
    ...draft.backends.flatMap((_, i) =>
      ["name", "addresses", "port", "weight"].map((name) => pointer("backends", i, name)),
    ),
  ];
}

function keyPointers(draft: Draft): string[] {
  const { several, variants } = draft.key;
  if (!several) {
    return ["/key/offset", "/key/length", "/key/mask", "/key/fallback", "/key"];
  }
  return [
    ...variants.flatMap((variant, v) => [
      pointer("key", "variants", v, "name"),
      ...variant.fields.flatMap((_, f) =>
        ["offset", "length", "mask"].map((name) =>
          pointer("key", "variants", v, "fields", f, name),
        ),
      ),
      ...variant.match.flatMap((_, m) =>
        ["offset", "mask", "value"].map((name) => pointer("key", "variants", v, "match", m, name)),
      ),
    ]),
    "/key/fallback",
    "/key",
  ];
}

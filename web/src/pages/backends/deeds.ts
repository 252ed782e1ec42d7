// What can be done to a backend, and how it is undone.
import { api, ask, once, type Answer } from "../../api/client.ts";
import type { Backend, BackendInput, Service } from "../../api/types.ts";
import { given } from "../../lib/key.ts";

/** What of a backend is changed in its form. */
export type BackendPart = Partial<Pick<Backend, "addresses" | "port" | "weight">>;

/** A change of one backend. */
export type Deed =
  | { kind: "add"; backend: BackendInput }
  | { kind: "admin"; name: string; admin: "up" | "drain" | "down" }
  | { kind: "edit"; name: string; part: BackendPart }
  | { kind: "remove"; name: string };

/** What is asked before it. */
export function question(deed: Deed): string {
  switch (deed.kind) {
    case "add":
      return `Add backend ${deed.backend.name}?`;
    case "admin":
      return {
        up: `Bring ${deed.name} up?`,
        drain: `Drain ${deed.name}?`,
        down: `Take ${deed.name} down?`,
      }[deed.admin];
    case "edit":
      return `Change ${deed.name}?`;
    case "remove":
      return `Remove ${deed.name}?`;
  }
}

/** What is told after it. */
export function outcome(deed: Deed): string {
  switch (deed.kind) {
    case "add":
      return `Backend ${deed.backend.name} was added.`;
    case "admin":
      return {
        up: `${deed.name} is up.`,
        drain: `${deed.name} drains.`,
        down: `${deed.name} is down.`,
      }[deed.admin];
    case "edit":
      return `${deed.name} was changed.`;
    case "remove":
      return `${deed.name} was removed.`;
  }
}

/** A part with addresses leaves no room for their short form. */
function whole(part: BackendPart) {
  return part.addresses === undefined ? part : { ...part, address: undefined };
}

/** The service as it would be. */
export function after(service: Service, deed: Deed): Record<string, unknown> {
  const change = (part: object, name: string) =>
    service.backends.map((b) => (b.name === name ? { ...b, ...part } : b));
  const backends = () => {
    switch (deed.kind) {
      case "add":
        return [...service.backends, deed.backend];
      case "admin":
        return change({ admin: deed.admin }, deed.name);
      case "edit":
        return change(whole(deed.part), deed.name);
      case "remove":
        return service.backends.filter((b) => b.name !== deed.name);
    }
  };
  return { ...service, backends: backends() };
}

/** What takes it back; of the service as it was before. */
export function reverse(service: Service, deed: Deed): Deed | null {
  if (deed.kind === "add") {
    return { kind: "remove", name: deed.backend.name };
  }
  const was = service.backends.find((b) => b.name === deed.name);
  if (was === undefined) {
    return null;
  }
  switch (deed.kind) {
    case "admin":
      return { kind: "admin", name: deed.name, admin: was.admin };
    case "edit":
      return { kind: "edit", name: deed.name, part: partOf(was, deed.part) };
    case "remove":
      return { kind: "add", backend: input(was) };
  }
}

/** What of a backend a part is about, as it was. */
function partOf(was: Backend, part: BackendPart): BackendPart {
  const all = { ...was, addresses: was.addresses ?? [was.address ?? ""] };
  const names = Object.keys(part) as (keyof BackendPart)[];
  return Object.fromEntries(names.map((name) => [name, all[name]]));
}

/** A backend as it is sent. */
function input(b: Backend): BackendInput {
  const { name, address, addresses, port, weight, admin } = b;
  return given({ name, address, addresses, port, weight, admin }) as unknown as BackendInput;
}

/** A part as a merge patch: the short form of addresses goes. */
function patchOf(part: BackendPart): BackendInput {
  const patch = part.addresses === undefined ? part : { ...part, address: null };
  return patch as unknown as BackendInput;
}

/** Does it, to the backend as an ETag names it. */
export function perform(service: string, deed: Deed, etag: string): Promise<Answer<unknown>> {
  const header = { "If-Match": etag };
  switch (deed.kind) {
    case "add":
      return ask(
        api.POST("/v1/services/{service}/backends", {
          params: { path: { service }, header: once() },
          body: deed.backend,
        }),
      );
    case "remove":
      return ask(
        api.DELETE("/v1/services/{service}/backends/{backend}", {
          params: { path: { service, backend: deed.name }, header },
        }),
      );
    default:
      return ask(
        api.PATCH("/v1/services/{service}/backends/{backend}", {
          params: { path: { service, backend: deed.name }, header },
          body: deed.kind === "admin" ? { admin: deed.admin } : patchOf(deed.part),
        }),
      );
  }
}

/** The service now, and the ETag of the backend that a deed is about. */
export async function begin(
  service: string,
  deed: Deed,
): Promise<Answer<{ service: Service; etag: string }>> {
  const path = { service };
  const now = await ask(api.GET("/v1/services/{service}", { params: { path } }));
  if (!now.ok) {
    return now;
  }
  if (deed.kind === "add") {
    return { ok: true, data: { service: now.data, etag: "" }, etag: now.etag };
  }
  const one = await ask(
    api.GET("/v1/services/{service}/backends/{backend}", {
      params: { path: { service, backend: deed.name } },
    }),
  );
  return one.ok ? { ok: true, data: { service: now.data, etag: one.etag }, etag: now.etag } : one;
}

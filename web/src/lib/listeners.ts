import type { Service } from "../api/types.ts";

/** A service's listeners as they are written: address, colon, port. */
export function listenersOf(service: Pick<Service, "listen">): string[] {
  return service.listen.map(({ address, port }) =>
    address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`,
  );
}

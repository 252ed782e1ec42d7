// All pages there are, for what must hold on each.
import { keyOf } from "./traffic.js";
import { port, service } from "./world.js";

/** A packet to the service of the tests, as #/explain takes it. */
export const explained = `packet=00000001${keyOf(port, 0)}6d6f7665&client=198.18.0.7:40000&listener=192.0.2.10:${String(port)}`;

/** Each page's route, and its heading. */
export const pages: readonly (readonly [route: string, title: RegExp])[] = [
  ["#/", /^Overview/],
  ["#/services", /^Services/],
  ["#/services/new", /^New service/],
  [`#/services/${service}`, /^Service /],
  [`#/services/${service}/edit`, /^Change /],
  [`#/services/${service}/backends`, /^Backends of /],
  [`#/sessions?service=${service}`, /^Sessions/],
  [`#/sessions/${service}/${keyOf(port, 0)}`, /^Session /],
  [`#/roaming?service=${service}`, /^Roaming/],
  [`#/explain?${explained}`, /^Explain/],
  ["#/ruleset", /^Ruleset/],
  ["#/events", /^Events/],
  ["#/host", /^Host/],
  ["#/tokens", /^Tokens/],
];

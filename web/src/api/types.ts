// Short names for what the description defines.
import type { components, paths } from "../api.gen.js";

type Schemas = components["schemas"];

export type Paths = paths;
export type Backend = Schemas["Backend"];
export type BackendInput = Schemas["BackendInput"];
export type BackendStats = Schemas["BackendStats"];
export type Check = Schemas["Check"];
export type Effective = Schemas["Effective"];
export type EventList = Schemas["EventList"];
export type Explanation = Schemas["Explanation"];
export type Health = Schemas["Health"];
export type Identity = Schemas["Identity"];
export type Key = Schemas["Key"];
export type NewToken = Schemas["NewToken"];
export type Preview = Schemas["Preview"];
export type Probe = Schemas["Probe"];
export type Problem = Schemas["Problem"];
export type Ring = Schemas["Ring"];
export type Scope = Schemas["Scope"];
export type Service = Schemas["Service"];
export type ServiceInput = Schemas["ServiceInput"];
export type ServiceStats = Schemas["ServiceStats"];
export type Session = Schemas["Session"];
export type Stats = Schemas["Stats"];
export type Token = Schemas["Token"];
export type Version = Schemas["Version"];

/** What happened. The kinds reset and missed are of the stream itself. */
export type Happening = Schemas["Event"];

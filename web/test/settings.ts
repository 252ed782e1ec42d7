// What the environment says.

export interface Settings {
  /** Where the API answers, such as http://127.0.0.1:7070. */
  url: string;
  /** A token with the scope write; empty where the daemon wants none. */
  token: string;
  /** The service's name. One that exists is replaced, and deleted at the end. */
  service: string;
  /** Address and port of its listener. */
  address: string;
  port: number;
  /** Addresses of its three backends. */
  backends: [string, string, string];
  /** In hex: a key of eight bytes that somebody sends to the listener, or empty. */
  key: string;
}

export const usage = `usage: ROAMLB_URL=URL ROAMLB_TOKEN=TOKEN npm run life

Takes a service through its life over the API, and prints each step as TAP.
Exit code: 0 all steps passed, 1 one failed, 2 the environment is wrong.

  ROAMLB_URL       where the API answers, such as http://127.0.0.1:7070
  ROAMLB_TOKEN     a token with the scope write; none where api.auth is none
  ROAMLB_SERVICE   name of the service that is made, and deleted (life-ts)
  ROAMLB_LISTEN    its listener (192.0.2.10:7777)
  ROAMLB_BACKENDS  its three backends, all on the listener's port
                   (198.51.100.1,198.51.100.2,198.51.100.3)
  ROAMLB_KEY       a key in hex, eight bytes, that packets to the listener carry at
                   their beginning: the session is waited for, 30 seconds. Without
                   it one is made by placing it.`;

/** Reads the settings; an Error says what is wrong. */
export function settings(env: Record<string, string | undefined>): Settings {
  const url = env["ROAMLB_URL"];
  if (url === undefined || url === "") {
    throw new Error("ROAMLB_URL is not set");
  }
  const listen = env["ROAMLB_LISTEN"] ?? "192.0.2.10:7777";
  const colon = listen.lastIndexOf(":");
  const [a, b, c, ...more] = (
    env["ROAMLB_BACKENDS"] ?? "198.51.100.1,198.51.100.2,198.51.100.3"
  ).split(",");
  if (a === undefined || b === undefined || c === undefined || more.length > 0) {
    throw new Error("ROAMLB_BACKENDS must be three addresses");
  }
  const key = env["ROAMLB_KEY"] ?? "";
  if (!/^([0-9a-f]{16})?$/.test(key)) {
    throw new Error("ROAMLB_KEY must be 16 hex digits");
  }
  return {
    url,
    token: env["ROAMLB_TOKEN"] ?? "",
    service: env["ROAMLB_SERVICE"] ?? "life-ts",
    address: listen.slice(0, colon).replace(/^\[|\]$/g, ""),
    port: Number(listen.slice(colon + 1)),
    backends: [a, b, c],
    key,
  };
}

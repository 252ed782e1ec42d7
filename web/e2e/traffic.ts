// Real packets: backends that answer, and clients that send, move and are
// silent. All addresses are on this namespace's loopback, which counts too.
import { createSocket, type Socket } from "node:dgram";

/** Where clients send. */
export const listener = "192.0.2.10";

/** What the services of the tests have as backends. */
export const backends: readonly { name: string; address: string }[] = [
  { name: "a", address: "198.51.100.1" },
  { name: "b", address: "198.51.100.2" },
  { name: "c", address: "198.51.100.3" },
];

/** How a payload is laid out: a number, the key, a text. */
export const keyOffset = 4;
export const keyLength = 8;

/** Backends at a port, which answer with what they got and their name. */
export class Echo {
  private readonly sockets: Socket[] = [];

  static async at(port: number): Promise<Echo> {
    const echo = new Echo();
    for (const { name, address } of backends) {
      const socket = createSocket("udp4");
      socket.on("message", (payload, from) => {
        socket.send(Buffer.concat([payload, Buffer.from(name)]), from.port, from.address);
      });
      await bound(socket, port, address);
      echo.sockets.push(socket);
    }
    return echo;
  }

  close(): void {
    for (const socket of this.sockets) {
      socket.close();
    }
  }
}

/** A session, and the client that it has now. */
export class Walker {
  sent = 0;
  answered = 0;
  /** The backend that answered last; empty for none. */
  backend = "";
  private socket: Socket | undefined;
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    /** The session's key, in hex. */
    readonly key: string,
    readonly port: number,
    private text: Buffer,
  ) {}

  /** A session that sends to a listener's port from an address, a port of the kernel's choice. */
  static async from(address: string, key: string, port: number, text = "move"): Promise<Walker> {
    const walker = new Walker(key, port, Buffer.from(text));
    await walker.roam(address);
    return walker;
  }

  /** Goes on from another address and port. */
  async roam(address: string): Promise<void> {
    const socket = createSocket("udp4");
    // While no backend takes it, the answer is an ICMP error.
    socket.on("error", () => undefined);
    socket.on("message", (payload) => {
      this.answered++;
      this.backend = payload.subarray(-1).toString();
    });
    await bound(socket, 0, address);
    this.socket?.close();
    this.socket = socket;
    this.send();
  }

  send(): void {
    const number = Buffer.alloc(keyOffset);
    number.writeUInt32BE(++this.sent);
    const payload = Buffer.concat([number, Buffer.from(this.key, "hex"), this.text]);
    this.socket?.send(payload, this.port, listener, () => undefined);
  }

  /** Sends every so many milliseconds until quiet. */
  talk(every: number): void {
    this.quiet();
    this.timer = setInterval(() => {
      this.send();
    }, every);
  }

  quiet(): void {
    clearInterval(this.timer);
  }

  close(): void {
    this.quiet();
    this.socket?.close();
    this.socket = undefined;
  }
}

/** Sessions from a client each, that talk. */
export async function crowd(
  count: number,
  port: number,
  every: number,
  text?: string,
): Promise<Walker[]> {
  const walkers: Walker[] = [];
  for (let i = 0; i < count; i++) {
    const walker = await Walker.from(client(i), keyOf(port, i), port, text);
    walker.talk(every);
    walkers.push(walker);
  }
  return walkers;
}

/** The address of client i. */
export function client(i: number): string {
  return `198.18.${String(i >> 8)}.${String(i & 255 || 1)}`;
}

/** The key of session i, unlike those of other ports. */
export function keyOf(port: number, i: number): string {
  const key = Buffer.alloc(keyLength);
  key.writeUInt16BE(port);
  key.writeUInt32BE((i * 2654435761) >>> 0, 2);
  key.writeUInt16BE(i & 0xffff, 6);
  return key.toString("hex");
}

function bound(socket: Socket, port: number, address: string): Promise<void> {
  return new Promise((done, failed) => {
    socket.once("error", failed);
    socket.bind(port, address, () => {
      socket.off("error", failed);
      done();
    });
  });
}

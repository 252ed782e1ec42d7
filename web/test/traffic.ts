// Packets for life.ts: a client that sends its session's key to the listener, ten
// times a second, and backends that answer. Runs until it is stopped.
import { createSocket, type Socket, type SocketType } from "node:dgram";
import { settings } from "./settings.js";

const set = settings(process.env);

function socketTo(address: string): Socket {
  const type: SocketType = address.includes(":") ? "udp6" : "udp4";
  return createSocket(type);
}

for (const address of set.backends) {
  const backend = socketTo(address);
  backend.on("message", (payload, from) => {
    backend.send(payload, from.port, from.address);
  });
  backend.bind(set.port, address);
}

const client = socketTo(set.address);
// While the service is not there, or no backend is, the answer is an ICMP error.
client.on("error", () => undefined);
setInterval(() => {
  client.send(Buffer.from(set.key, "hex"), set.port, set.address, () => undefined);
}, 100);

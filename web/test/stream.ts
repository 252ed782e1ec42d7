// Reads server-sent events.

export interface ServerSentEvent {
  id: string;
  event: string;
  data: string;
}

/** Yields the events of a stream until it ends. Comments are passed over. */
export async function* eventsOf(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<ServerSentEvent, void, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const event = parse(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (event.data !== "") {
        yield event;
      }
    }
  }
}

function parse(block: string): ServerSentEvent {
  const event: ServerSentEvent = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(": ");
    const value = line.slice(colon + 2);
    switch (line.slice(0, colon)) {
      case "id":
        event.id = value;
        break;
      case "event":
        event.event = value;
        break;
      case "data":
        event.data += value;
        break;
    }
  }
  return event;
}

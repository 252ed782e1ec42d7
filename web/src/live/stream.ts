// Server-sent events, taken apart. The browser's own EventSource gives up where an
// answer has an error status, and passes over kinds that it was not told to expect.

export interface Message {
  id: string;
  event: string;
  data: string;
}

/** Takes a stream's text in pieces and gives the messages that are complete. */
export class Messages {
  private rest = "";

  add(text: string): Message[] {
    const blocks = (this.rest + text).split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(parse).filter((message) => message.data !== "");
  }
}

function parse(block: string): Message {
  const message: Message = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    switch (line.slice(0, colon)) {
      case "id":
        message.id = value;
        break;
      case "event":
        message.event = value;
        break;
      case "data":
        message.data += message.data === "" ? value : `\n${value}`;
        break;
    }
  }
  return message;
}

// The viewer shows a list of examples, and passes over a single one.

/** Returns a description with each media type's example as a list of one. */
export function withExampleLists(description: unknown): unknown {
  if (Array.isArray(description)) {
    return description.map(withExampleLists);
  }
  if (typeof description !== "object" || description === null) {
    return description;
  }
  const changed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(description)) {
    changed[name] = name === "content" ? withLists(value) : withExampleLists(value);
  }
  return changed;
}

/** Does it for the media types of one content. */
function withLists(content: unknown): unknown {
  if (typeof content !== "object" || content === null) {
    return content;
  }
  return Object.fromEntries(
    Object.entries(content).map(([media, of]: [string, unknown]) => {
      if (typeof of !== "object" || of === null || !("example" in of)) {
        return [media, of];
      }
      const { example, ...rest } = of;
      return [media, { ...rest, examples: { example: { value: example } } }];
    }),
  );
}

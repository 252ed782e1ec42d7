// A value that parts of the page follow.
import { useEffect, useState } from "preact/hooks";

export class Store<T> {
  private readonly followers = new Set<() => void>();

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    if (Object.is(value, this.current)) {
      return;
    }
    this.current = value;
    for (const follow of [...this.followers]) {
      follow();
    }
  }

  /** Calls fn after each change, until the function that it returns is called. */
  subscribe(fn: () => void): () => void {
    this.followers.add(fn);
    return () => {
      this.followers.delete(fn);
    };
  }
}

/** A store's value; the component is drawn again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [value, setValue] = useState(store.value);
  useEffect(() => {
    const take = () => {
      setValue(() => store.value);
    };
    take();
    return store.subscribe(take);
  }, [store]);
  return value;
}

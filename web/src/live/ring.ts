// A list of the last few: what an hour of live data is kept in.

/** Holds up to size items; the oldest make room. */
export class Ring<T> {
  private items: T[] = [];
  private next = 0;

  constructor(readonly size: number) {}

  add(item: T): void {
    if (this.items.length < this.size) {
      this.items.push(item);
      return;
    }
    this.items[this.next] = item;
    this.next = (this.next + 1) % this.size;
  }

  /** All of them, the oldest first. */
  list(): T[] {
    return [...this.items.slice(this.next), ...this.items.slice(0, this.next)];
  }

  get length(): number {
    return this.items.length;
  }

  clear(): void {
    this.items = [];
    this.next = 0;
  }
}

// A bounded FIFO queue: a ring buffer that doubles up to its limit and releases its memory when it becomes empty, because
// an idle subscription must cost next to nothing.

import type { OverflowPolicy } from './bus.ts'

/** Every operation is O(1), `offer` amortised. */
export class BoundedQueue<T extends object> {
  readonly #limit: number
  /** Capacity beyond the limit for preloaded items; reset once the items fit the limit again. */
  #extra = 0
  #slots: (T | undefined)[] = NO_SLOTS
  #head = 0
  #size = 0

  /** `limit` is a positive integer. */
  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#size
  }

  /** Appends `item`. At the limit the policy decides which item is dropped: the oldest (`drop-oldest`) or this one
   *  (`drop-newest`, and `fail`, where the caller then ends the subscription). Returns the dropped item. */
  offer(item: T, policy: OverflowPolicy): T | undefined {
    if (this.#size < this.#limit + this.#extra) {
      this.#append(item)
      return undefined
    }
    if (policy !== 'drop-oldest') return item
    const oldest = this.#take()
    this.#append(item)
    return oldest
  }

  /**
   * Appends `items` to an empty queue and raises the limit by their number, so that they take no capacity from later items.
   * The limit is reset once the queue has shrunk to its original limit. Until then the policy applies at the raised limit,
   * and `drop-oldest` drops the preloaded items first.
   */
  preload(items: readonly T[]): void {
    this.#extra = items.length
    for (const item of items) this.#append(item)
  }

  /** Like `preload` for a single item; the queue need not be empty. */
  keep(item: T): void {
    this.#extra++
    this.#append(item)
  }

  shift(): T | undefined {
    if (this.#size === 0) return undefined
    const item = this.#take()
    if (this.#extra > 0 && this.#size <= this.#limit) this.#extra = 0
    if (this.#size === 0 && this.#slots.length > KEPT_SLOTS) this.clear()
    return item
  }

  /** Removes and returns all items, oldest first. */
  drain(): T[] {
    const items: T[] = []
    for (let item = this.shift(); item !== undefined; item = this.shift()) items.push(item)
    this.clear()
    return items
  }

  clear(): void {
    this.#slots = NO_SLOTS
    this.#head = 0
    this.#size = 0
    this.#extra = 0
  }

  #take(): T | undefined {
    const item = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#slots.length - 1)
    this.#size--
    return item
  }

  #append(item: T): void {
    if (this.#size === this.#slots.length) this.#grow()
    this.#slots[(this.#head + this.#size) & (this.#slots.length - 1)] = item
    this.#size++
  }

  /** Doubles the ring, moving the oldest item to index 0. The length stays a power of two so that a mask wraps an index. */
  #grow(): void {
    const slots = Array.from<T | undefined>({ length: Math.max(FIRST_SLOTS, this.#slots.length * 2) })
    for (let i = 0; i < this.#size; i++) slots[i] = this.#slots[(this.#head + i) & (this.#slots.length - 1)]
    this.#slots = slots
    this.#head = 0
  }
}

const NO_SLOTS: undefined[] = []
const FIRST_SLOTS = 4
/** A ring up to this size is kept when the queue becomes empty: 256 slots are 2 KiB, and a steady trickle of messages should
 *  not reallocate. */
const KEPT_SLOTS = 256

// A bounded first-in first-out buffer: a ring that grows by doubling up to its limit and gives its memory back when
// it runs empty, because a subscription that waits must cost next to nothing.

import type { OverflowPolicy } from './bus.ts'

/** Every operation is O(1), `offer` amortised. */
export class BoundedQueue<T extends object> {
  readonly #limit: number
  /** Room beyond the limit that `preload` needed; gone once the items fit the limit again. */
  #extra = 0
  #slots: (T | undefined)[] = NOTHING
  #head = 0
  #size = 0

  /** `limit` is a positive integer. */
  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#size
  }

  /** Appends `item`; at the limit the policy decides what is lost: the oldest item, or this one (`drop-newest`, and
   *  `fail`, which leaves the consequence to the caller). Returns what was lost. */
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
   * Appends `items` to an empty queue and enlarges the limit by their number, so that they take no room from what
   * follows. The enlargement lasts until the queue is down to its limit once; until then items that overflow are
   * chosen by the policy as always, and `drop-oldest` then drops these first.
   */
  preload(items: readonly T[]): void {
    this.#extra = items.length
    for (const item of items) this.#append(item)
  }

  /** As preload, for one item of several that arrive one by one, and into a queue that others may be in already. */
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

  /** Takes everything, oldest first. */
  drain(): T[] {
    const items: T[] = []
    for (let item = this.shift(); item !== undefined; item = this.shift()) items.push(item)
    this.clear()
    return items
  }

  clear(): void {
    this.#slots = NOTHING
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

  /** Doubles, oldest first. The length stays a power of two, so that an index wraps with a mask. */
  #grow(): void {
    const slots = Array.from<T | undefined>({ length: Math.max(FIRST_SLOTS, this.#slots.length * 2) })
    for (let i = 0; i < this.#size; i++) slots[i] = this.#slots[(this.#head + i) & (this.#slots.length - 1)]
    this.#slots = slots
    this.#head = 0
  }
}

const NOTHING: undefined[] = []
const FIRST_SLOTS = 4
/** A ring up to this size survives running empty: 256 slots are 2 KiB, and a steady trickle should not reallocate. */
const KEPT_SLOTS = 256

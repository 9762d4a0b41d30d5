// Messages kept for a worker that is not there to receive them: in order, bounded, handed over to the first
// subscription that covers them. Pure but for its own memory.

import type { RawDelivery } from '../bus/bus.ts'

/** A message is offered to this many runs that read nothing of what they took; then it counts as unclaimed. */
export const OFFERS_MAX = 3

interface Kept {
  readonly delivery: RawDelivery
  /** Runs that had it in hand. */
  offers: number
  /** Present when the current run started, and not taken since. */
  seen: boolean
}

export class Mailbox {
  #kept: Kept[] = []
  readonly #capacity: number
  /** How often a claimed message has been in hand, for the day it comes back. */
  readonly #offers = new WeakMap<RawDelivery, number>()
  /** Of what the current run claimed, how much it has not given back. */
  #taken = 0
  /** Dropped because the mailbox was full (oldest first). */
  dropped = 0
  /** Offered to a whole run and claimed by none of its subscriptions. */
  unclaimed = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#kept.length
  }

  /** Keeps a message at the end. False when that pushed the oldest out. */
  keep(delivery: RawDelivery): boolean {
    this.#kept.push({ delivery, offers: 0, seen: false })
    return this.#trim()
  }

  /** Takes, in order, what `covers` accepts. */
  claim(covers: (topic: string) => boolean): RawDelivery[] {
    const taken = this.#kept.filter((kept) => covers(kept.delivery.topic))
    if (taken.length > 0) {
      this.#kept = this.#kept.filter((kept) => !covers(kept.delivery.topic))
      for (const kept of taken) this.#offers.set(kept.delivery, kept.offers + 1)
      this.#taken += taken.length
    }
    return taken.map((kept) => kept.delivery)
  }

  /** Puts back, in front and in order, what a subscription held unread when it closed. */
  giveBack(deliveries: readonly RawDelivery[]): void {
    const returned: Kept[] = []
    // Two overlapping subscriptions of one run give the same message back twice.
    const known = new Set(this.#kept.map((kept) => kept.delivery))
    for (const delivery of deliveries) {
      if (known.has(delivery)) continue
      known.add(delivery)
      const offers = this.#offers.get(delivery)
      if (offers !== undefined) this.#taken--
      returned.push({ delivery, offers: offers ?? 1, seen: false })
    }
    this.#kept = [...returned, ...this.#kept]
    this.#trim()
  }

  /** A run is about to begin: what is here now is offered to it. */
  offer(): void {
    for (const kept of this.#kept) kept.seen = true
    this.#taken = 0
  }

  /**
   * The run ended. What it was offered and never claimed is dropped and counted, and so is what came back from
   * OFFERS_MAX runs in a row that read nothing. After a failure all is kept: the restart is to have it. Returns how
   * many were dropped.
   */
  settle(failed = false): number {
    if (failed) return 0
    const before = this.#kept.length
    if (this.#taken > 0) for (const kept of this.#kept) kept.offers = 0 // it reads, if only some at a time
    this.#kept = this.#kept.filter((kept) => !kept.seen && kept.offers < OFFERS_MAX)
    const lost = before - this.#kept.length
    this.unclaimed += lost
    return lost
  }

  clear(): number {
    const size = this.#kept.length
    this.#kept = []
    return size
  }

  #trim(): boolean {
    const over = this.#kept.length - this.#capacity
    if (over <= 0) return true
    this.#kept.splice(0, over)
    this.dropped += over
    return false
  }
}

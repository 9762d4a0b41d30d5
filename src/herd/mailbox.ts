// Messages kept for a worker that is not running: bounded, in order, handed to the first subscription that covers them.

import type { RawDelivery } from '../bus/bus.ts'

/** A message is offered to this many runs that read nothing; then it counts as unclaimed. */
export const OFFERS_MAX = 3

interface Kept {
  readonly delivery: RawDelivery
  /** Runs that claimed it without reading it. */
  offers: number
  /** Offered to the current run and not claimed since. */
  seen: boolean
}

export class Mailbox {
  #kept: Kept[] = []
  readonly #capacity: number
  /** How often each claimed message was offered, in case the message is returned. */
  readonly #offers = new WeakMap<RawDelivery, number>()
  /** Number of messages that the current run claimed and has not returned. */
  #taken = 0
  /** Messages dropped because the mailbox was full (oldest first). */
  dropped = 0
  /** Messages offered to a run and claimed by none of its subscriptions. */
  unclaimed = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#kept.length
  }

  /** Appends a message. False if that dropped the oldest one. */
  keep(delivery: RawDelivery): boolean {
    this.#kept.push({ delivery, offers: 0, seen: false })
    return this.#trim()
  }

  /** Removes and returns, in order, the messages whose topic `covers` accepts. */
  claim(covers: (topic: string) => boolean): RawDelivery[] {
    const taken = this.#kept.filter((kept) => covers(kept.delivery.topic))
    if (taken.length > 0) {
      this.#kept = this.#kept.filter((kept) => !covers(kept.delivery.topic))
      for (const kept of taken) this.#offers.set(kept.delivery, kept.offers + 1)
      this.#taken += taken.length
    }
    return taken.map((kept) => kept.delivery)
  }

  /** Returns to the front, in order, the messages that a subscription had not read when it closed. */
  giveBack(deliveries: readonly RawDelivery[]): void {
    const returned: Kept[] = []
    // Two overlapping subscriptions of one run return the same message twice.
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

  /** Called when a run is about to begin: the messages kept so far are offered to it. */
  offer(): void {
    for (const kept of this.#kept) kept.seen = true
    this.#taken = 0
  }

  /**
   * The run ended. Messages that were offered and never claimed are dropped and counted, and so are those that OFFERS_MAX
   * runs in a row returned without reading any. After a failure all messages are kept for the restart. Returns the number
   * dropped.
   */
  endRun(failed = false): number {
    if (failed) return 0
    const before = this.#kept.length
    if (this.#taken > 0) for (const kept of this.#kept) kept.offers = 0 // the run does read messages, a few at a time
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

// What this process publishes, until the server accepted it: one queue in order, bounded in number, size and time. It
// is also where a message waits for the subscriptions that were opened before it, so that a process hears itself on
// two connections as it would on one.

import type { Redis } from 'ioredis'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Redact } from '../../base/redact.ts'
import { describeFailure, isRefusal, refused, unavailable } from './errors.ts'

/** Most messages neither acknowledged nor rejected. */
export const MAX_UNSENT = 10_000
/** Most characters of envelopes among them; one message always has room. */
export const MAX_UNSENT_LENGTH: number = 16 * 1024 * 1024
/** How long a message waits for a connection, milliseconds. One that was written waits for the heartbeat's verdict. */
export const MAX_WAIT_MS = 10_000

export interface OutboxOptions {
  readonly clock: Clock
  readonly redact: Redact
  readonly client: () => Redis | undefined
  /** Whether every subscription up to number `fence` was acknowledged. */
  readonly passed: (fence: number) => boolean
  /** Whether a reply would be heard now. */
  readonly hears: () => boolean
}

interface Item {
  readonly topic: string
  readonly channel: string
  readonly text: string
  readonly fence: number
  /** Of a request: nobody is asked while the answer would be lost, or once it is not waited for. */
  readonly replyTo: string | undefined
  /** Monotonic: rejected then, if it still waits. */
  readonly until: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class Outbox {
  readonly #options: OutboxOptions
  /** Sets, since an item in the middle leaves when its asker has gone; both keep the order. */
  readonly #held = new Set<Item>()
  /** Requests that wait for the subscriber connection; others need not wait behind them. */
  readonly #asking = new Set<Item>()
  /** Those of both that are requests, by where the reply goes. */
  readonly #requests = new Map<string, Item>()
  #count = 0
  #length = 0
  #rejected = 0
  #timer: Timer | undefined
  #whenEmpty: (() => void) | undefined

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#count
  }

  /** Rejected with BYRE_BUS_UNAVAILABLE so far. */
  get rejected(): number {
    return this.#rejected
  }

  /** Resolves when the server accepted it. Rejects BYRE_BUS_UNAVAILABLE and BYRE_BUS_REFUSED.
   *  @param replyTo it is a request: sent only while its reply can be heard, and never after `drop` */
  send(topic: string, channel: string, text: string, fence: number, replyTo?: string): Promise<void> {
    if (this.#count >= MAX_UNSENT || (this.#count > 0 && this.#length + text.length > MAX_UNSENT_LENGTH)) {
      this.#rejected++
      const why = `${this.#count} messages (${this.#length} characters) wait for the Redis server already`
      return Promise.reject(unavailable(topic, why, false))
    }
    this.#count++
    this.#length += text.length
    const until = this.#options.clock.monotonic() + MAX_WAIT_MS
    return new Promise((resolve, reject) => {
      const item: Item = { topic, channel, text, fence, replyTo, until, resolve, reject }
      if (this.#isUnheard(item)) this.#hold(item, this.#asking)
      else if (this.#held.size > 0 || !this.#write(item)) this.#hold(item, this.#held)
    })
  }

  /** Nobody waits for that reply any more: its request is not sent, if it still waits, and makes room. What `send`
   *  promised for it never settles. */
  drop(replyTo: string): void {
    const item = this.#requests.get(replyTo)
    if (item === undefined) return
    this.#unhold(item)
    this.#done(item)
  }

  /** Something it waits for may be there. */
  pump(): void {
    if (this.#asking.size > 0 && this.#options.hears()) {
      for (const item of this.#asking) this.#held.add(item)
      this.#asking.clear()
    }
    for (const item of this.#held) {
      // asked again: the subscriber connection may have gone while it waited for the other one
      if (this.#isUnheard(item)) {
        this.#held.delete(item)
        this.#asking.add(item)
        continue
      }
      if (!this.#write(item)) break
      this.#unhold(item)
    }
  }

  /** Resolves when nothing waits any more. */
  whenEmpty(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => (this.#whenEmpty = resolve))
  }

  /** Rejects what was not written with what `reason` makes of each topic. */
  close(reason: (topic: string) => unknown): void {
    this.#timer?.cancel()
    for (const item of [...this.#held, ...this.#asking]) {
      this.#unhold(item)
      this.#done(item)
      item.reject(reason(item.topic))
    }
  }

  #isUnheard({ replyTo }: Item): boolean {
    return replyTo !== undefined && !this.#options.hears()
  }

  #write(item: Item): boolean {
    const { client, passed, redact } = this.#options
    const redis = client()
    if (redis === undefined || !passed(item.fence)) return false
    redis.publish(item.channel, item.text).then(
      () => {
        this.#done(item)
        item.resolve()
      },
      (error: unknown) => {
        this.#done(item)
        const why = describeFailure(error, redact)
        if (isRefusal(error)) return item.reject(refused('publish to', item.topic, why))
        this.#rejected++
        item.reject(
          unavailable(item.topic, `the connection broke before it was acknowledged (${why})`, 'unknown'),
        )
      },
    )
    return true
  }

  #hold(item: Item, queue: Set<Item>): void {
    queue.add(item)
    if (item.replyTo !== undefined) this.#requests.set(item.replyTo, item)
    if (this.#held.size + this.#asking.size === 1) this.#arm(item.until)
  }

  #unhold(item: Item): void {
    this.#held.delete(item)
    this.#asking.delete(item)
    if (item.replyTo !== undefined) this.#requests.delete(item.replyTo)
  }

  /** One timer, for the oldest. */
  #arm(until: number): void {
    const { clock } = this.#options
    this.#timer?.cancel()
    this.#timer = clock.setTimer(Math.max(0, until - clock.monotonic()), () => this.#expire())
  }

  #expire(): void {
    const now = this.#options.clock.monotonic()
    this.#expireIn(this.#held, now, `there was no connection to the Redis server for ${MAX_WAIT_MS} ms`)
    this.#expireIn(this.#asking, now, `its reply could not have been heard for ${MAX_WAIT_MS} ms`)
    const left = [...this.#held, ...this.#asking].map(({ until }) => until)
    if (left.length > 0) this.#arm(left.reduce((a, b) => Math.min(a, b)))
  }

  #expireIn(queue: ReadonlySet<Item>, now: number, why: string): void {
    for (const item of queue) {
      if (item.until > now) continue
      this.#unhold(item)
      this.#done(item)
      this.#rejected++
      item.reject(unavailable(item.topic, why, false))
    }
  }

  #done(item: Item): void {
    this.#count--
    this.#length -= item.text.length
    if (this.#count === 0) this.#whenEmpty?.()
  }
}

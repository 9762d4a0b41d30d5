// Queues published messages until the server accepted them: in order, bounded in number, size and time. A message also
// waits for the acknowledgement of the subscriptions opened before it, so that a process receives its own messages over
// two connections as it would over one.

import type { Redis } from 'ioredis'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Redact } from '../../base/redact.ts'
import { describeFailure, isRefusal, refused, unavailable } from './errors.ts'

/** Maximum number of messages that are neither acknowledged nor rejected. */
export const MAX_UNSENT = 10_000
/** Maximum number of characters in all their envelopes; a single message is always accepted. */
export const MAX_UNSENT_LENGTH: number = 16 * 1024 * 1024
/** How long a message waits for a connection, milliseconds. A message that was written waits until the server answers or the
 *  connection is lost. */
export const MAX_WAIT_MS = 10_000

export interface OutboxOptions {
  readonly clock: Clock
  readonly redact: Redact
  readonly client: () => Redis | undefined
  /** Whether every subscription up to number `barrier` was acknowledged. */
  readonly passed: (barrier: number) => boolean
  /** Whether a reply could be received now. */
  readonly receiving: () => boolean
}

interface Item {
  readonly topic: string
  readonly channel: string
  readonly text: string
  readonly barrier: number
  /** The reply topic of a request. A request is not sent while its reply would be lost, or once it has ended. */
  readonly replyTo: string | undefined
  /** Deadline for a message that is not written yet, monotonic ms. */
  readonly until: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class Outbox {
  readonly #options: OutboxOptions
  /** Messages that wait to be written, in order. A Set, because a request in the middle can be dropped. */
  readonly #held = new Set<Item>()
  /** Requests that wait for the subscriber connection, in order; other messages do not wait behind them. */
  readonly #heldRequests = new Set<Item>()
  /** The requests in both sets, by reply topic. */
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

  /** Messages rejected with BYRE_BUS_UNAVAILABLE so far. */
  get rejected(): number {
    return this.#rejected
  }

  /** Resolves when the server accepted the message. Rejects BYRE_BUS_UNAVAILABLE and BYRE_BUS_REFUSED.
   *  @param replyTo marks a request: it is sent only while its reply can be received, and never after `drop` */
  send(topic: string, channel: string, text: string, barrier: number, replyTo?: string): Promise<void> {
    if (this.#count >= MAX_UNSENT || (this.#count > 0 && this.#length + text.length > MAX_UNSENT_LENGTH)) {
      this.#rejected++
      const why = `${this.#count} messages (${this.#length} characters) already wait for the Redis server`
      return Promise.reject(unavailable(topic, why, false))
    }
    this.#count++
    this.#length += text.length
    const until = this.#options.clock.monotonic() + MAX_WAIT_MS
    return new Promise((resolve, reject) => {
      const item: Item = { topic, channel, text, barrier, replyTo, until, resolve, reject }
      if (this.#awaitsSubscriber(item)) this.#hold(item, this.#heldRequests)
      else if (this.#held.size > 0 || !this.#write(item)) this.#hold(item, this.#held)
    })
  }

  /** Removes a request that has ended, if it was not sent yet. Its promise from `send` never settles. */
  drop(replyTo: string): void {
    const item = this.#requests.get(replyTo)
    if (item === undefined) return
    this.#unhold(item)
    this.#done(item)
  }

  /** Writes what can be written, after a connection or an acknowledgement. */
  pump(): void {
    if (this.#heldRequests.size > 0 && this.#options.receiving()) {
      for (const item of this.#heldRequests) this.#held.add(item)
      this.#heldRequests.clear()
    }
    for (const item of this.#held) {
      // checked again: the subscriber connection may have been lost while the item waited for the command connection
      if (this.#awaitsSubscriber(item)) {
        this.#held.delete(item)
        this.#heldRequests.add(item)
        continue
      }
      if (!this.#write(item)) break
      this.#unhold(item)
    }
  }

  /** Resolves when all messages are acknowledged or rejected. */
  whenEmpty(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => (this.#whenEmpty = resolve))
  }

  /** Rejects messages that were not written with the error that `reason` returns for each topic. */
  close(reason: (topic: string) => unknown): void {
    this.#timer?.cancel()
    for (const item of [...this.#held, ...this.#heldRequests]) {
      this.#unhold(item)
      this.#done(item)
      item.reject(reason(item.topic))
    }
  }

  #awaitsSubscriber({ replyTo }: Item): boolean {
    return replyTo !== undefined && !this.#options.receiving()
  }

  #write(item: Item): boolean {
    const { client, passed, redact } = this.#options
    const redis = client()
    if (redis === undefined || !passed(item.barrier)) return false
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
    if (this.#held.size + this.#heldRequests.size === 1) this.#arm(item.until)
  }

  #unhold(item: Item): void {
    this.#held.delete(item)
    this.#heldRequests.delete(item)
    if (item.replyTo !== undefined) this.#requests.delete(item.replyTo)
  }

  /** Sets the single timer, for the oldest message. */
  #arm(until: number): void {
    const { clock } = this.#options
    this.#timer?.cancel()
    this.#timer = clock.setTimer(Math.max(0, until - clock.monotonic()), () => this.#expire())
  }

  #expire(): void {
    const now = this.#options.clock.monotonic()
    this.#expireIn(this.#held, now, `there was no connection to the Redis server for ${MAX_WAIT_MS} ms`)
    this.#expireIn(
      this.#heldRequests,
      now,
      `the subscriber connection, which receives the reply, was down for ${MAX_WAIT_MS} ms`,
    )
    const left = [...this.#held, ...this.#heldRequests].map(({ until }) => until)
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

// Sends acks and nacks to the server. Both are idempotent, so they are kept for a while and sent again after a broken
// connection. When that time is over they are rejected, and the server delivers the job again.

import type { Redis } from 'ioredis'
import { deferred } from '../../../base/deferred.ts'
import type { Deferred } from '../../../base/deferred.ts'
import { ByreError } from '../../../base/errors.ts'
import { describeFailure, isMoved, isRefusal, refused } from '../errors.ts'
import type { ResolvedStreamOptions } from '../../stream-options.ts'
import { oncePerTurn } from './context.ts'
import type { StreamContext } from './context.ts'
import type { StreamKeys } from './keys.ts'
import { NACK, runScript } from './scripts.ts'

export interface AcknowledgementOptions {
  readonly stream: string
  readonly keys: StreamKeys
  readonly consumer: string
  readonly reads: ResolvedStreamOptions
  /** Called when the entry no longer belongs to this reader: acked, nacked, or rejected. */
  readonly done: (entry: string) => void
  readonly retryIn: (delayMs: number) => void
  readonly deadLetter: (entry: string, deliveries: number, reason: string) => void
}

/** How long an ack or nack waits for the server, milliseconds: longer than the heartbeat takes to detect a lost connection. */
const MAX_WAIT_MS = 30_000

/** One nack, or all acks of one turn of the loop, which are sent as one command. */
interface Item {
  readonly entries: string[]
  readonly nack:
    | { readonly delayMs: number; readonly reason: string; readonly maxDeliveries: number }
    | undefined
  readonly until: number
  readonly outcome: Deferred<void>
}

export class Acknowledgements {
  readonly #context: StreamContext
  readonly #options: AcknowledgementOptions
  readonly #flush: () => void
  #waiting: Item[] = []
  /** The item in `#waiting` that collects the acks of this turn. */
  #acks: Item | undefined
  #count = 0
  #whenIdle: (() => void)[] = []
  #timer: { cancel(): void } | undefined

  constructor(context: StreamContext, options: AcknowledgementOptions) {
    this.#context = context
    this.#options = options
    this.#flush = oncePerTurn(() => this.pump())
  }

  ack(entry: string): Promise<void> {
    this.#acks ??= this.#add(undefined)
    this.#acks.entries.push(entry)
    return this.#acks.outcome.promise
  }

  nack(entry: string, delayMs: number, reason: string, maxDeliveries?: number): Promise<void> {
    const max = maxDeliveries ?? this.#options.reads.maxDeliveries
    const item = this.#add({ delayMs, reason, maxDeliveries: max })
    item.entries.push(entry)
    return item.outcome.promise
  }

  /** Resolves when no command is in progress. Items that wait for a connection do not count. */
  whenIdle(): Promise<void> {
    this.pump()
    if (this.#count === this.#waiting.length) return Promise.resolve()
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }

  /** Rejects items that still wait for a connection. */
  close(): void {
    this.#timer?.cancel()
    this.#acks = undefined
    for (const item of this.#waiting.splice(0)) this.#reject(item, this.#late('the bus was closed'))
  }

  /** Sends all waiting items, the acks in one command. */
  pump(): void {
    this.#acks = undefined
    const client = this.#context.client()
    if (client === undefined) return this.#arm()
    this.#timer?.cancel()
    const items = this.#waiting
    if (items.length === 0) return
    this.#waiting = []
    const acks = items.filter(({ nack }) => nack === undefined)
    if (acks.length > 0) void this.#ack(client, acks)
    for (const item of items) if (item.nack !== undefined) void this.#nack(client, item)
  }

  /** Adds an item without entries; the caller adds them. */
  #add(nack: Item['nack']): Item {
    this.#count++
    const until = this.#context.clock.monotonic() + MAX_WAIT_MS
    const item: Item = { entries: [], nack, until, outcome: deferred() }
    this.#waiting.push(item)
    this.#flush()
    return item
  }

  async #ack(client: Redis, items: readonly Item[]): Promise<void> {
    const { keys, reads } = this.#options
    try {
      await client.xack(keys.jobs, reads.group, ...items.flatMap(({ entries }) => entries))
      for (const item of items) this.#finish(item, () => item.outcome.resolve())
    } catch (error) {
      this.#failed(items, error)
    }
  }

  async #nack(client: Redis, item: Item): Promise<void> {
    const { keys, reads, consumer, deadLetter, retryIn } = this.#options
    const { delayMs, reason, maxDeliveries } = item.nack as NonNullable<Item['nack']>
    const names = [keys.jobs, keys.retry(reads.group), keys.dead]
    const [entry = ''] = item.entries
    const args = [reads.group, consumer, entry, delayMs, maxDeliveries, reason]
    try {
      const deliveries = await runScript(client, NACK, names, args)
      this.#finish(item, () => item.outcome.resolve())
      if (deliveries === 0) retryIn(delayMs)
      else if (typeof deliveries === 'number') deadLetter(entry, deliveries, reason)
    } catch (error) {
      this.#failed([item], error)
    }
  }

  #failed(items: readonly Item[], error: unknown): void {
    const { redact, clock } = this.#context
    const why = describeFailure(error, redact)
    const now = clock.monotonic()
    for (const item of items) {
      if (isRefusal(error) && !isMoved(error))
        this.#reject(item, refused('ack or nack a job of', this.#options.stream, why))
      else if (item.until <= now) this.#reject(item, this.#late(why))
      else this.#waiting.push(item)
    }
    if (isMoved(error)) this.#context.leave(why)
    if (this.#waiting.length > 0) this.#arm()
    this.#notify()
  }

  /** Sets the timer that rejects items which have waited too long for a connection. */
  #arm(): void {
    const { clock } = this.#context
    this.#timer?.cancel()
    const oldest = this.#waiting[0]
    if (oldest === undefined) return
    this.#timer = clock.setTimer(Math.max(0, oldest.until - clock.monotonic()), () => {
      const now = clock.monotonic()
      const late = this.#waiting.filter(({ until }) => until <= now)
      this.#waiting = this.#waiting.filter(({ until }) => until > now)
      for (const item of late) this.#reject(item, this.#late('there was no connection to the Redis server'))
      if (this.#context.client() === undefined) this.#arm()
    })
  }

  #late(why: string): ByreError {
    const { stream } = this.#options
    return new ByreError(
      'BYRE_BUS_UNAVAILABLE',
      `Cannot ack or nack a job of '${stream}': ${why}. The server may not have received it and then delivers the job again. Make the work idempotent.`,
      { details: { topic: stream, sent: 'unknown' } },
    )
  }

  #reject(item: Item, error: unknown): void {
    this.#finish(item, () => item.outcome.reject(error))
  }

  #finish(item: Item, settle: () => void): void {
    this.#count--
    for (const entry of item.entries) this.#options.done(entry)
    settle()
    this.#notify()
  }

  #notify(): void {
    if (this.#whenIdle.length === 0 || this.#count > this.#waiting.length) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }
}

// Acks and nacks on their way to the server. Both may be sent twice without harm, so a broken connection is waited out
// for a while; then the job is let go of, and delivered again.

import type { Redis } from 'ioredis'
import { deferred } from '../../../base/deferred.ts'
import type { Deferred } from '../../../base/deferred.ts'
import { ByreError } from '../../../base/errors.ts'
import { describeFailure, isMoved, isRefusal, refused } from '../errors.ts'
import type { ResolvedStreamOptions } from '../../stream-options.ts'
import { oncePerTurn } from './deps.ts'
import type { StreamDeps } from './deps.ts'
import type { StreamKeys } from './keys.ts'
import { NACK, runScript } from './scripts.ts'

export interface SettlementOptions {
  readonly stream: string
  readonly keys: StreamKeys
  readonly consumer: string
  readonly reads: ResolvedStreamOptions
  /** The entry is off this reader's hands, one way or the other. */
  readonly done: (entry: string) => void
  readonly retryIn: (delayMs: number) => void
  readonly deadLetter: (entry: string, deliveries: number, reason: string) => void
}

/** How long an ack or nack waits for the server to be there again, milliseconds: longer than the heartbeat takes to
 *  notice that it is not. */
const SETTLE_WAIT_MS = 30_000

/** One nack, or all acks of a turn of the loop: they are one command and end together. */
interface Item {
  readonly entries: string[]
  readonly nack:
    | { readonly delayMs: number; readonly reason: string; readonly maxDeliveries: number }
    | undefined
  readonly until: number
  readonly told: Deferred<void>
}

export class Settlements {
  readonly #deps: StreamDeps
  readonly #options: SettlementOptions
  readonly #flush: () => void
  #waiting: Item[] = []
  /** Among them, the acks of this turn. */
  #acks: Item | undefined
  #count = 0
  #whenSettled: (() => void)[] = []
  #timer: { cancel(): void } | undefined

  constructor(deps: StreamDeps, options: SettlementOptions) {
    this.#deps = deps
    this.#options = options
    this.#flush = oncePerTurn(() => this.pump())
  }

  ack(entry: string): Promise<void> {
    this.#acks ??= this.#add(undefined)
    this.#acks.entries.push(entry)
    return this.#acks.told.promise
  }

  nack(entry: string, delayMs: number, reason: string, maxDeliveries?: number): Promise<void> {
    const max = maxDeliveries ?? this.#options.reads.maxDeliveries
    const item = this.#add({ delayMs, reason, maxDeliveries: max })
    item.entries.push(entry)
    return item.told.promise
  }

  /** Resolves when nothing is under way; what waits for a connection is not waited for. */
  whenSettled(): Promise<void> {
    this.pump()
    if (this.#count === this.#waiting.length) return Promise.resolve()
    return new Promise((resolve) => this.#whenSettled.push(resolve))
  }

  /** Gives up what still waits for a connection. */
  close(): void {
    this.#timer?.cancel()
    this.#acks = undefined
    for (const item of this.#waiting.splice(0)) this.#reject(item, this.#late('the bus was closed'))
  }

  /** Sends what waits: all acks in one command. */
  pump(): void {
    this.#acks = undefined
    const client = this.#deps.client()
    if (client === undefined) return this.#arm()
    this.#timer?.cancel()
    const items = this.#waiting
    if (items.length === 0) return
    this.#waiting = []
    const acks = items.filter(({ nack }) => nack === undefined)
    if (acks.length > 0) void this.#ack(client, acks)
    for (const item of items) if (item.nack !== undefined) void this.#nack(client, item)
  }

  /** The caller puts its entry in. */
  #add(nack: Item['nack']): Item {
    this.#count++
    const until = this.#deps.clock.monotonic() + SETTLE_WAIT_MS
    const item: Item = { entries: [], nack, until, told: deferred() }
    this.#waiting.push(item)
    this.#flush()
    return item
  }

  async #ack(client: Redis, items: readonly Item[]): Promise<void> {
    const { keys, reads } = this.#options
    try {
      await client.xack(keys.jobs, reads.group, ...items.flatMap(({ entries }) => entries))
      for (const item of items) this.#settle(item, () => item.told.resolve())
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
      this.#settle(item, () => item.told.resolve())
      if (deliveries === 0) retryIn(delayMs)
      else if (typeof deliveries === 'number') deadLetter(entry, deliveries, reason)
    } catch (error) {
      this.#failed([item], error)
    }
  }

  #failed(items: readonly Item[], error: unknown): void {
    const { redact, clock } = this.#deps
    const why = describeFailure(error, redact)
    const now = clock.monotonic()
    for (const item of items) {
      if (isRefusal(error) && !isMoved(error))
        this.#reject(item, refused('settle a job of', this.#options.stream, why))
      else if (item.until <= now) this.#reject(item, this.#late(why))
      else this.#waiting.push(item)
    }
    if (isMoved(error)) this.#deps.leave(why)
    if (this.#waiting.length > 0) this.#arm()
    this.#notify()
  }

  /** While there is no connection: what has waited too long is given up. */
  #arm(): void {
    const { clock } = this.#deps
    this.#timer?.cancel()
    const oldest = this.#waiting[0]
    if (oldest === undefined) return
    this.#timer = clock.setTimer(Math.max(0, oldest.until - clock.monotonic()), () => {
      const now = clock.monotonic()
      const late = this.#waiting.filter(({ until }) => until <= now)
      this.#waiting = this.#waiting.filter(({ until }) => until > now)
      for (const item of late) this.#reject(item, this.#late('there was no connection to the Redis server'))
      if (this.#deps.client() === undefined) this.#arm()
    })
  }

  #late(why: string): ByreError {
    const { stream } = this.#options
    return new ByreError(
      'BYRE_BUS_UNAVAILABLE',
      `Cannot settle a job of '${stream}': ${why}. The server may not know, and then delivers the job again. Make its work safe to repeat.`,
      { details: { topic: stream, sent: 'unknown' } },
    )
  }

  #reject(item: Item, error: unknown): void {
    this.#settle(item, () => item.told.reject(error))
  }

  #settle(item: Item, outcome: () => void): void {
    this.#count--
    for (const entry of item.entries) this.#options.done(entry)
    outcome()
    this.#notify()
  }

  #notify(): void {
    if (this.#whenSettled.length === 0 || this.#count > this.#waiting.length) return
    for (const resolve of this.#whenSettled.splice(0)) resolve()
  }
}

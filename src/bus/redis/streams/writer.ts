// What this process enqueues: jobs of one turn go in one script and ring the doorbell once. Bounded in number, size and
// time while the server is away.

import type { Redis } from 'ioredis'
import type { Timer } from '../../../base/clock.ts'
import { ByreError } from '../../../base/errors.ts'
import type { ResolvedEnqueueOptions } from '../../stream-options.ts'
import { describeFailure, isMoved, isRefusal, refused, unavailable } from '../errors.ts'
import { MAX_UNSENT, MAX_UNSENT_LENGTH, MAX_WAIT_MS } from '../outbox.ts'
import { oncePerTurn } from './deps.ts'
import type { StreamDeps } from './deps.ts'
import { doorbellChannel, streamKeys } from './keys.ts'
import { ENQUEUE, runScript } from './scripts.ts'

/** Most jobs in a stream, those done and not trimmed yet among them. */
const MAX_JOBS = 10_000_000
/** How long a dedupeId is remembered, milliseconds. */
const DEDUPE_MS = 3_600_000
/** Jobs and characters in one script: what holds the server up for about a millisecond. */
const BATCH_JOBS = 200
const BATCH_LENGTH = 1024 * 1024

interface Item {
  readonly stream: string
  readonly body: string
  readonly options: ResolvedEnqueueOptions
  /** Monotonic: rejected then, if it still waits. */
  readonly until: number
  readonly resolve: (id: string) => void
  readonly reject: (error: unknown) => void
}

export class StreamWriter {
  readonly #deps: StreamDeps
  readonly #idPrefix: string
  readonly #waiting = new Map<string, Item[]>()
  readonly #flush: () => void
  #count = 0
  #length = 0
  #lastId = 0
  #timer: Timer | undefined

  constructor(deps: StreamDeps, idPrefix: string) {
    this.#deps = deps
    this.#idPrefix = idPrefix
    this.#flush = oncePerTurn(() => this.pump())
  }

  /** Not acknowledged. */
  get size(): number {
    return this.#count
  }

  enqueue(stream: string, body: string, options: ResolvedEnqueueOptions): Promise<string> {
    if (this.#count >= MAX_UNSENT || (this.#count > 0 && this.#length + body.length > MAX_UNSENT_LENGTH)) {
      const why = `${this.#count} jobs (${this.#length} characters) wait for the Redis server already`
      return Promise.reject(unavailable(stream, why, false, 'enqueue to'))
    }
    this.#count++
    this.#length += body.length
    const until = this.#deps.clock.monotonic() + MAX_WAIT_MS
    return new Promise((resolve, reject) => {
      const item: Item = { stream, body, options, until, resolve, reject }
      const items = this.#waiting.get(stream)
      if (items === undefined) this.#waiting.set(stream, [item])
      else items.push(item)
      this.#flush()
    })
  }

  /** Sends what waits, or sees to it that it does not wait for ever. */
  pump(): void {
    if (this.#waiting.size === 0) return
    // one for all: a write may end the socket, and what is left of the batches still has to be told
    const redis = this.#deps.client()
    if (redis === undefined) return this.#arm()
    this.#timer?.cancel()
    for (const [stream, items] of this.#waiting) {
      this.#waiting.delete(stream)
      for (const batch of batches(items)) void this.#send(redis, stream, batch)
    }
  }

  /** Rejects what was not written. */
  close(reason: (stream: string) => unknown): void {
    this.#timer?.cancel()
    for (const [stream, items] of this.#waiting)
      for (const item of items) this.#settle(item, () => item.reject(reason(stream)))
    this.#waiting.clear()
  }

  async #send(redis: Redis, stream: string, items: readonly Item[]): Promise<void> {
    const { herd, redact } = this.#deps
    const keys = streamKeys(herd, stream)
    const names = [keys.jobs, keys.delayed]
    const args: (string | number)[] = [MAX_JOBS, DEDUPE_MS]
    for (const { body, options } of items) {
      const { delayMs, dedupeId } = options
      if (dedupeId !== undefined) names.push(keys.dedupe(dedupeId))
      const id = delayMs > 0 ? this.#idPrefix + ++this.#lastId : ''
      args.push(body, delayMs, id, dedupeId === undefined ? 0 : names.length - 2)
    }
    const added = runScript(redis, ENQUEUE, names, args)
    const delayed = items.some(({ options }) => options.delayMs > 0)
    // behind the script on the same connection: whoever hears it finds the jobs; unheard, their slow poll does
    redis.publish(doorbellChannel(herd, stream), delayed ? 'delayed' : 'jobs').catch(() => {})
    try {
      const ids = (await added) as (string | null)[]
      items.forEach((item, n) => {
        const id = ids[n]
        this.#settle(item, () => (typeof id === 'string' ? item.resolve(id) : item.reject(full(stream))))
      })
    } catch (error) {
      const why = describeFailure(error, redact)
      if (isMoved(error)) return this.#again(stream, items, why)
      const failure = isRefusal(error)
        ? refused('enqueue to', stream, why)
        : unavailable(
            stream,
            `the connection broke before it was acknowledged (${why})`,
            'unknown',
            'enqueue to',
          )
      for (const item of items) this.#settle(item, () => item.reject(failure))
    }
  }

  /** They were not added: once more, where the master is. */
  #again(stream: string, items: readonly Item[], why: string): void {
    this.#waiting.set(stream, [...items, ...(this.#waiting.get(stream) ?? [])])
    this.#deps.leave(why)
    this.#arm()
  }

  #arm(): void {
    const { clock } = this.#deps
    let oldest = Infinity
    for (const items of this.#waiting.values()) oldest = Math.min(oldest, items[0]?.until ?? Infinity)
    this.#timer?.cancel()
    if (oldest === Infinity) return
    this.#timer = clock.setTimer(Math.max(0, oldest - clock.monotonic()), () => this.#expire())
  }

  #expire(): void {
    const now = this.#deps.clock.monotonic()
    for (const [stream, items] of this.#waiting) {
      const fresh = items.filter((item) => item.until > now)
      for (const item of items) if (item.until <= now) this.#settle(item, () => item.reject(late(stream)))
      if (fresh.length === 0) this.#waiting.delete(stream)
      else this.#waiting.set(stream, fresh)
    }
    this.#arm()
  }

  #settle(item: Item, outcome: () => void): void {
    this.#count--
    this.#length -= item.body.length
    outcome()
  }
}

function* batches(items: readonly Item[]): Generator<Item[]> {
  let batch: Item[] = []
  let length = 0
  for (const item of items) {
    if (batch.length > 0 && (batch.length >= BATCH_JOBS || length + item.body.length > BATCH_LENGTH)) {
      yield batch
      batch = []
      length = 0
    }
    batch.push(item)
    length += item.body.length
  }
  if (batch.length > 0) yield batch
}

function late(stream: string): ByreError {
  const why = `there was no connection to the Redis server for ${MAX_WAIT_MS} ms`
  return unavailable(stream, why, false, 'enqueue to')
}

function full(stream: string): ByreError {
  return new ByreError(
    'BYRE_BUS_OVERFLOW',
    `Cannot enqueue to '${stream}': it holds ${MAX_JOBS} jobs, the most a stream may. Let its readers catch up, or remove groups that nobody reads (XGROUP DESTROY).`,
    { details: { stream, limit: MAX_JOBS } },
  )
}

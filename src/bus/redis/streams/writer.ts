// Enqueues jobs. The jobs of one turn are sent with one script and one doorbell message. While the server is unreachable
// the queue is bounded in number, size and time.

import type { Redis } from 'ioredis'
import type { Timer } from '../../../base/clock.ts'
import { ByreError } from '../../../base/errors.ts'
import type { ResolvedEnqueueOptions } from '../../stream-options.ts'
import { describeFailure, isMoved, isRefusal, refused, unavailable } from '../errors.ts'
import { MAX_UNSENT, MAX_UNSENT_LENGTH, MAX_WAIT_MS } from '../outbox.ts'
import { oncePerTurn } from './context.ts'
import type { StreamContext } from './context.ts'
import { streamKeys } from './keys.ts'
import { sendDoorbell } from './release.ts'
import { ENQUEUE, runScript } from './scripts.ts'

/** Maximum number of jobs in a stream, including finished jobs that are not trimmed yet. */
const MAX_JOBS = 10_000_000
/** How long a dedupeId is remembered, milliseconds. */
const DEDUPE_MS = 3_600_000
/** Maximum number of jobs and of characters in one script, which then blocks the server for about a millisecond. */
const BATCH_JOBS = 200
const BATCH_LENGTH = 1024 * 1024

interface Item {
  readonly stream: string
  readonly body: string
  readonly options: ResolvedEnqueueOptions
  /** Deadline for a job that is not sent yet, monotonic ms. */
  readonly until: number
  readonly resolve: (id: string) => void
  readonly reject: (error: unknown) => void
}

export class StreamWriter {
  readonly #context: StreamContext
  readonly #idPrefix: string
  readonly #waiting = new Map<string, Item[]>()
  readonly #flush: () => void
  #count = 0
  #length = 0
  #lastId = 0
  #timer: Timer | undefined

  constructor(context: StreamContext, idPrefix: string) {
    this.#context = context
    this.#idPrefix = idPrefix
    this.#flush = oncePerTurn(() => this.pump())
  }

  /** Jobs that the server has not accepted yet. */
  get size(): number {
    return this.#count
  }

  enqueue(stream: string, body: string, options: ResolvedEnqueueOptions): Promise<string> {
    if (this.#count >= MAX_UNSENT || (this.#count > 0 && this.#length + body.length > MAX_UNSENT_LENGTH)) {
      const why = `${this.#count} jobs (${this.#length} characters) already wait for the Redis server`
      return Promise.reject(unavailable(stream, why, false, 'enqueue to'))
    }
    this.#count++
    this.#length += body.length
    const until = this.#context.clock.monotonic() + MAX_WAIT_MS
    return new Promise((resolve, reject) => {
      const item: Item = { stream, body, options, until, resolve, reject }
      const items = this.#waiting.get(stream)
      if (items === undefined) this.#waiting.set(stream, [item])
      else items.push(item)
      this.#flush()
    })
  }

  /** Sends all waiting jobs, or without a connection sets the timer that rejects them. */
  pump(): void {
    if (this.#waiting.size === 0) return
    // one client for all batches: if a write ends the socket, the remaining batches must fail through it too
    const redis = this.#context.client()
    if (redis === undefined) return this.#arm()
    this.#timer?.cancel()
    for (const [stream, items] of this.#waiting) {
      this.#waiting.delete(stream)
      for (const batch of batches(items)) void this.#send(redis, stream, batch)
    }
  }

  /** Rejects jobs that were not sent. */
  close(reason: (stream: string) => unknown): void {
    this.#timer?.cancel()
    for (const [stream, items] of this.#waiting)
      for (const item of items) this.#finish(item, () => item.reject(reason(stream)))
    this.#waiting.clear()
  }

  async #send(redis: Redis, stream: string, items: readonly Item[]): Promise<void> {
    const { herd, redact } = this.#context
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
    // sent after the script on the same connection, so that a reader that receives it finds the jobs
    sendDoorbell(redis, herd, stream, delayed ? 'delayed' : 'jobs')
    try {
      const ids = (await added) as (string | null)[]
      items.forEach((item, n) => {
        const id = ids[n]
        this.#finish(item, () => (typeof id === 'string' ? item.resolve(id) : item.reject(full(stream))))
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
      for (const item of items) this.#finish(item, () => item.reject(failure))
    }
  }

  /** Keeps jobs that were not added, to send them again to the new master. */
  #again(stream: string, items: readonly Item[], why: string): void {
    this.#waiting.set(stream, [...items, ...(this.#waiting.get(stream) ?? [])])
    this.#context.leave(why)
    this.#arm()
  }

  #arm(): void {
    const { clock } = this.#context
    let oldest = Infinity
    for (const items of this.#waiting.values()) oldest = Math.min(oldest, items[0]?.until ?? Infinity)
    this.#timer?.cancel()
    if (oldest === Infinity) return
    this.#timer = clock.setTimer(Math.max(0, oldest - clock.monotonic()), () => this.#expire())
  }

  #expire(): void {
    const now = this.#context.clock.monotonic()
    for (const [stream, items] of this.#waiting) {
      const fresh = items.filter((item) => item.until > now)
      for (const item of items) if (item.until <= now) this.#finish(item, () => item.reject(late(stream)))
      if (fresh.length === 0) this.#waiting.delete(stream)
      else this.#waiting.set(stream, fresh)
    }
    this.#arm()
  }

  #finish(item: Item, settle: () => void): void {
    this.#count--
    this.#length -= item.body.length
    settle()
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
    `Cannot enqueue to '${stream}': the stream holds ${MAX_JOBS} jobs, the most allowed. Let its readers catch up, or remove groups without readers (XGROUP DESTROY).`,
    { details: { stream, limit: MAX_JOBS } },
  )
}

// Reads one stream for one worker. At most twice its concurrency is unacknowledged at any time, so that other readers get
// the rest. A doorbell message announces jobs; a slow poll finds jobs whose doorbell was missed. The reader sends one
// command at a time, so an entry that is pending for this consumer but not held here was lost in transit.

import type { Redis } from 'ioredis'
import type { Timer } from '../../../base/clock.ts'
import { onAbort } from '../../abort.ts'
import type { Job } from '../../bus.ts'
import type { JobIteration } from '../../carrier.ts'
import type { ResolvedStreamOptions } from '../../stream-options.ts'
import { describeFailure, isMoved, isRefusal, refused } from '../errors.ts'
import { Acknowledgements } from './acknowledgements.ts'
import type { StreamContext } from './context.ts'
import { HeldJob } from './job.ts'
import type { Entry } from './job.ts'
import type { StreamKeys } from './keys.ts'
import { releaseJobs, sendDoorbell } from './release.ts'
import { MAINTAIN, runScript } from './scripts.ts'

export interface ReaderOptions {
  readonly stream: string
  readonly keys: StreamKeys
  readonly consumer: string
  readonly reads: ResolvedStreamOptions
  /** Called before each job is handed to the worker's code. */
  readonly handing: () => void
  /** Called when the reader is closed and holds nothing more. */
  readonly onGone: () => void
}

/** Poll interval without doorbells, milliseconds. */
export const POLL_MS = 5000
/** A job read ahead is released when the worker has taken no job for this long, milliseconds. */
const STALE_MS = 1000
/** Shortest wait before the next maintenance, milliseconds. */
const LEAST_WAIT_MS = 10

type Next = IteratorResult<Job, undefined>
type State = 'open' | 'failed' | 'ended' | 'closed'

export class StreamReader implements JobIteration, AsyncIterator<Job, undefined> {
  readonly #context: StreamContext
  readonly #options: ReaderOptions
  readonly #acknowledgements: Acknowledgements
  /** The jobs that are neither acked nor released, by entry. */
  readonly #held = new Map<string, HeldJob>()
  readonly #queue: HeldJob[] = []
  #working = 0
  /** Whether the worker has taken no job for a while, or has never taken one. */
  #idle = true
  readonly #waiters: ((next: Next | Promise<never>) => void)[] = []
  #state: State = 'open'
  #failure: unknown
  #grouped = false
  #pumping = false
  #pumped: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined
  /** Whether there may be undelivered jobs. */
  #more = true
  #maintainDue = true
  /** Whether a job is due that had no room. */
  #maintainWithRoom = false
  #trimmedAt = -Infinity
  #from = '-'
  #timer: Timer | undefined
  #wakeAt = Infinity
  /** When a job was yielded last, monotonic ms. */
  #yieldedAt = -Infinity
  readonly #unlisten: (() => void) | undefined

  constructor(context: StreamContext, options: ReaderOptions) {
    this.#context = context
    this.#options = options
    this.#acknowledgements = new Acknowledgements(context, {
      ...options,
      done: (entry) => this.#forget(entry),
      retryIn: (delayMs) => this.#retryIn(delayMs),
      deadLetter: (entry, deliveries, reason) => this.#reportDeadLetter(entry, deliveries, reason),
    })
    const { signal } = options.reads
    if (signal !== undefined) this.#unlisten = onAbort(signal, () => this.end())
    if (signal?.aborted === true) this.end()
    else this.connected()
  }

  get over(): boolean {
    return this.#state === 'closed'
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<Next> {
    if (this.#waiters.length === 0 && this.#mayYield()) {
      const job = this.#takeNext()
      if (job !== undefined) return Promise.resolve({ value: job, done: false })
    }
    return new Promise((resolve) => {
      this.#waiters.push(resolve)
      this.#serve()
      if (this.#waiters.length > 0) this.#pump()
    })
  }

  return(): Promise<Next> {
    this.end()
    return Promise.resolve({ value: undefined, done: true })
  }

  /** Called when a doorbell was received: there are jobs, or (`delayed`) the time of the next due job may have changed. */
  onDoorbell(delayed: boolean): void {
    this.#more = true
    if (delayed) this.#maintainDue = true
    this.#pump()
  }

  /** Called for each new command connection. The next maintenance finds jobs whose delivery was lost with the old one. */
  connected(): void {
    this.#more = this.#maintainDue = true
    this.#acknowledgements.pump()
    this.#pump()
  }

  /** Yields no more jobs; jobs in progress can still be acked or nacked. Idempotent. */
  end(): void {
    if (this.#state === 'ended' || this.#state === 'closed') return
    this.#state = 'ended'
    this.#unlisten?.()
    this.#serve()
    void this.#release(this.#queue.splice(0))
    if (this.#held.size === 0) void this.close()
  }

  /** Releases unfinished jobs to the group. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.end()
    this.#state = 'closed'
    this.#timer?.cancel()
    await this.#pumped
    await this.#acknowledgements.whenIdle()
    this.#acknowledgements.close()
    await this.#release([...this.#held.values()])
    this.#options.onGone()
  }

  #pump(): void {
    if (!this.#pumping) this.#pumped = this.#context.runDetached(() => this.#work())
  }

  async #work(): Promise<void> {
    this.#pumping = true
    try {
      for (;;) {
        const client = this.#context.client()
        if (client === undefined || this.#state === 'closed' || this.#state === 'failed') return
        if (!this.#grouped) await this.#makeGroup(client)
        if (this.#maintainDue || (this.#maintainWithRoom && this.#room() > 0)) await this.#maintain(client)
        else if (this.#mayRead()) await this.#read(client)
        else return
      }
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#pumping = false
    }
  }

  /** Reads in batches: when there is room for at least `concurrency` jobs, or any room while no job is queued. */
  #mayRead(): boolean {
    if (!this.#more || this.#state !== 'open') return false
    const room = this.#room()
    return room >= this.#options.reads.concurrency || (room > 0 && this.#queue.length === 0)
  }

  /** How many jobs may be read. None while the worker takes no jobs, so that jobs read ahead are soon worked on. */
  #room(): number {
    const wanted = this.#waiters.length > 0 || !this.#idle
    return this.#state === 'open' && wanted ? 2 * this.#options.reads.concurrency - this.#held.size : 0
  }

  async #makeGroup(client: Redis): Promise<void> {
    const { keys, reads } = this.#options
    try {
      await client.xgroup('CREATE', keys.jobs, reads.group, '0', 'MKSTREAM')
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('BUSYGROUP')) throw error
    }
    this.#grouped = true
  }

  async #read(client: Redis): Promise<void> {
    const { keys, reads, consumer } = this.#options
    const room = this.#room()
    this.#more = false // a doorbell that arrives during the read sets it again
    const from = [keys.jobs, '>'] as const
    const answer = await client.xreadgroup('GROUP', reads.group, consumer, 'COUNT', room, 'STREAMS', ...from)
    const entries = (answer as [string, Entry[]][] | null)?.[0]?.[1] ?? []
    if (entries.length >= room) this.#more = true
    this.#take(entries.map((entry) => new HeldJob(entry, 1, this)))
  }

  async #maintain(client: Redis): Promise<void> {
    const { keys, reads, consumer } = this.#options
    const { jobs, delayed, dead } = keys
    const periodMs = Math.min(POLL_MS, Math.floor(reads.claimAfterMs / 3))
    this.#maintainDue = this.#maintainWithRoom = false
    this.#wakeIn(periodMs)
    const now = this.#context.clock.monotonic()
    this.#releaseReadAhead(now)
    const trim = now - this.#trimmedAt >= POLL_MS
    if (trim) this.#trimmedAt = now
    const settings = [
      reads.group,
      consumer,
      this.#room(),
      reads.claimAfterMs,
      reads.maxDeliveries,
      this.#from,
    ]
    const args = [...settings, trim ? 1 : 0, ...this.#held.keys()]
    const answer = await runScript(client, MAINTAIN, [jobs, delayed, keys.retry(reads.group), dead], args)
    const [taken, deadLettered, dueMs, from] = answer as [
      [string, string[], number][],
      [string, number, string][],
      number,
      string,
    ]
    this.#from = from
    for (const [entry, deliveries, reason] of deadLettered) this.#reportDeadLetter(entry, deliveries, reason)
    this.#take(taken.map(([entry, fields, deliveries]) => new HeldJob([entry, fields], deliveries, this)))
    this.#more = true // delayed jobs may have become available
    if (dueMs < 0) return
    if (this.#room() > 0) this.#wakeIn(Math.max(LEAST_WAIT_MS, dueMs))
    else this.#maintainWithRoom = true
  }

  /** Releases jobs read ahead for a worker that is busy for long, so that other workers get them. */
  #releaseReadAhead(now: number): void {
    if (now - this.#yieldedAt < STALE_MS || this.#waiters.length > 0) return
    this.#idle = true
    if (this.#queue.length > 0) void this.#release(this.#queue.splice(0))
  }

  /** Schedules maintenance after `delayMs`, with one timer for the earliest request. */
  #wakeIn(delayMs: number): void {
    const { clock, runDetached } = this.#context
    if (this.over) return
    const at = clock.monotonic() + delayMs
    if (at >= this.#wakeAt && this.#timer !== undefined) return
    this.#timer?.cancel()
    this.#wakeAt = at
    this.#timer = runDetached(() =>
      clock.setTimer(delayMs, () => {
        this.#timer = undefined
        this.#wakeAt = Infinity
        this.#maintainDue = true
        this.#pump()
      }),
    )
  }

  #take(jobs: readonly HeldJob[]): void {
    if (this.#state !== 'open') {
      void this.#release(jobs)
      return
    }
    for (const job of jobs) {
      this.#held.set(job.entry, job)
      this.#queue.push(job)
    }
    this.#serve()
  }

  /** Resolves pending `next()` calls: with jobs while they may be yielded, or with the end or failure of the iteration. */
  #serve(): void {
    while (this.#waiters.length > 0) {
      if (this.#state === 'failed') this.#shift()(Promise.reject(this.#failure))
      else if (this.#state !== 'open') this.#shift()({ value: undefined, done: true })
      else if (this.#mayYield()) {
        const job = this.#takeNext()
        if (job !== undefined) this.#shift()({ value: job, done: false })
      } else return
      if (this.#state === 'failed') this.end()
    }
  }

  #mayYield(): boolean {
    return this.#state === 'open' && this.#queue.length > 0 && this.#working < this.#options.reads.concurrency
  }

  /** Takes the next job; undefined when it is malformed. */
  #takeNext(): HeldJob | undefined {
    const job = this.#queue.shift() as HeldJob
    const malformed = job.open(this.#context.messageBytes)
    this.#working++
    if (malformed !== undefined) {
      job.state = 'finished'
      // if dead-lettering fails, the job is delivered again and found malformed again
      void this.finish(job, 'dead-letter', malformed).catch(() => {})
      return undefined
    }
    job.state = 'working'
    this.#idle = false
    this.#yieldedAt = this.#context.clock.monotonic()
    this.#options.handing()
    return job
  }

  #shift(): (next: Next | Promise<never>) => void {
    return this.#waiters.shift() as (next: Next | Promise<never>) => void
  }

  /** Called by a job that was acked or nacked, and for a malformed job. */
  finish(
    job: HeldJob,
    how: 'ack' | 'nack' | 'dead-letter',
    reason: string = '',
    delayMs: number = 0,
  ): Promise<void> {
    this.#working--
    const acknowledged =
      how === 'ack'
        ? this.#acknowledgements.ack(job.entry)
        : this.#acknowledgements.nack(job.entry, delayMs, reason, how === 'dead-letter' ? 0 : undefined)
    if (this.#waiters.length > 0) this.#serve()
    return acknowledged
  }

  get stream(): string {
    return this.#options.stream
  }

  #forget(entry: string): void {
    this.#held.delete(entry)
    if (this.#state === 'ended' && this.#held.size === 0) void this.close()
    else if (this.#maintainDue || this.#maintainWithRoom || this.#mayRead()) this.#pump()
  }

  async #release(jobs: readonly HeldJob[]): Promise<void> {
    const client = this.#context.client()
    for (const job of jobs) this.#held.delete(job.entry)
    if (client === undefined || !this.#grouped) return // other readers claim them after the idle time
    await releaseJobs(client, this.#context.herd, this.#options, jobs)
  }

  #retryIn(delayMs: number): void {
    const client = this.#context.client()
    if (this.#state === 'open') this.#wakeIn(delayMs)
    else if (client !== undefined) sendDoorbell(client, this.#context.herd, this.#options.stream, 'delayed')
  }

  /** After a broken connection the reader waits for the next one; a permanent refusal ends the iteration. */
  #failed(error: unknown): void {
    if (!isRefusal(error) || this.#state === 'closed') return
    const reason = describeFailure(error, this.#context.redact)
    this.#more = this.#maintainDue = true
    if (reason.startsWith('NOGROUP')) {
      this.#grouped = false // the group or the whole stream was deleted
      this.#wakeIn(LEAST_WAIT_MS)
      return
    }
    if (isMoved(error)) return this.#context.leave(reason)
    if (TEMPORARY.test(reason)) {
      this.#context.onEvent({ event: 'bus-stream', stream: this.#options.stream, reason })
      return this.#wakeIn(POLL_MS)
    }
    this.#failure = refused('read stream', this.#options.stream, reason)
    if (this.#state === 'open') this.#state = 'failed'
    this.#timer?.cancel()
    this.#serve()
  }

  #reportDeadLetter(entry: string, deliveries: number, reason: string): void {
    const { stream, reads } = this.#options
    this.#context.onEvent({
      event: 'bus-dead-letter',
      stream,
      group: reads.group,
      entry,
      deliveries,
      reason,
    })
  }
}

/** Errors of a server that is expected to recover. */
const TEMPORARY = /^(OOM|LOADING|TRYAGAIN|ASK|BUSY|MISCONF|NOREPLICAS)\b/

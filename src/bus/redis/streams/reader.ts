// Reads one stream for one worker: at most twice its concurrency is unacknowledged at any time, so what it cannot take
// stays with the others. A doorbell says that there is something; a slow poll finds what was not rung for. One command
// at a time: whatever is pending with this consumer and not held here was lost on the way.

import type { Redis } from 'ioredis'
import type { Timer } from '../../../base/clock.ts'
import { onAbort } from '../../abort.ts'
import type { Job } from '../../bus.ts'
import type { JobIteration } from '../../carrier.ts'
import type { ResolvedStreamOptions } from '../../stream-options.ts'
import { describeFailure, isMoved, isRefusal, refused } from '../errors.ts'
import type { StreamDeps } from './deps.ts'
import { HeldJob } from './job.ts'
import type { Entry } from './job.ts'
import type { StreamKeys } from './keys.ts'
import { giveBack, ringOthers } from './release.ts'
import { runScript, MAINTAIN } from './scripts.ts'
import { Settlements } from './settlements.ts'

export interface ReaderOptions {
  readonly stream: string
  readonly keys: StreamKeys
  readonly consumer: string
  readonly reads: ResolvedStreamOptions
  /** A job is about to be handed to the worker's code. */
  readonly handing: () => void
  /** Nothing of it is left to be looked after. */
  readonly onGone: () => void
}

/** How often a reader looks without having been called, milliseconds. */
export const POLL_MS = 5000
/** A job read ahead that nobody asked for so long is given back, milliseconds. */
const STALE_MS = 1000
/** Sooner again than this nothing is looked for, whatever is due, milliseconds. */
const LEAST_WAIT_MS = 10

type Next = IteratorResult<Job, undefined>
type State = 'open' | 'failed' | 'ended' | 'gone'

export class StreamReader implements JobIteration, AsyncIterator<Job, undefined> {
  readonly #deps: StreamDeps
  readonly #options: ReaderOptions
  readonly #settlements: Settlements
  /** By entry: not known to be acked or given back. */
  readonly #held = new Map<string, HeldJob>()
  readonly #queue: HeldJob[] = []
  #working = 0
  /** Nobody has asked for a job for a while, or ever. */
  #idle = true
  readonly #waiters: ((next: Next | Promise<never>) => void)[] = []
  #state: State = 'open'
  #failure: unknown
  #grouped = false
  #pumping = false
  #pumped: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined
  /** There may be undelivered jobs. */
  #more = true
  #maintainDue = true
  /** Something is due, and there was no room for it. */
  #maintainWithRoom = false
  #trimmedAt = -Infinity
  #from = '-'
  #timer: Timer | undefined
  #wakeAt = Infinity
  /** When a job was handed out last, monotonic. */
  #askedAt = -Infinity
  readonly #unlisten: (() => void) | undefined

  constructor(deps: StreamDeps, options: ReaderOptions) {
    this.#deps = deps
    this.#options = options
    this.#settlements = new Settlements(deps, {
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
    return this.#state === 'gone'
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<Next> {
    if (this.#waiters.length === 0 && this.#mayHandOut()) {
      const job = this.#handOut()
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

  /** The doorbell: there are jobs, or delayed ones that change what is due when. */
  ring(delayed: boolean): void {
    this.#more = true
    if (delayed) this.#maintainDue = true
    this.#pump()
  }

  /** The command connection is there, again: what was under way when it broke is found by looking. */
  connected(): void {
    this.#more = this.#maintainDue = true
    this.#settlements.pump()
    this.#pump()
  }

  /** No more jobs; what was handed out may still be settled. Idempotent. */
  end(): void {
    if (this.#state === 'ended' || this.#state === 'gone') return
    this.#state = 'ended'
    this.#unlisten?.()
    this.#serve()
    void this.#giveBack(this.#queue.splice(0))
    if (this.#held.size === 0) void this.close()
  }

  /** What is not settled is given back to the group. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.end()
    this.#state = 'gone'
    this.#timer?.cancel()
    await this.#pumped
    await this.#settlements.whenSettled()
    this.#settlements.close()
    await this.#giveBack([...this.#held.values()])
    this.#options.onGone()
  }

  #pump(): void {
    if (!this.#pumping) this.#pumped = this.#deps.runDetached(() => this.#work())
  }

  async #work(): Promise<void> {
    this.#pumping = true
    try {
      for (;;) {
        const client = this.#deps.client()
        if (client === undefined || this.#state === 'gone' || this.#state === 'failed') return
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

  /** In whole batches: half of what may be unacknowledged, or anything once there is nothing to hand out. */
  #mayRead(): boolean {
    if (!this.#more || this.#state !== 'open') return false
    const room = this.#room()
    return room >= this.#options.reads.concurrency || (room > 0 && this.#queue.length === 0)
  }

  /** None while nobody asks for jobs: what is read ahead is soon worked on. */
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
    this.#more = false // what rings from here on is heard
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
    const now = this.#deps.clock.monotonic()
    this.#giveUpReadAhead(now)
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
    this.#more = true // what was delayed may have become a job
    if (dueMs < 0) return
    if (this.#room() > 0) this.#wakeIn(Math.max(LEAST_WAIT_MS, dueMs))
    else this.#maintainWithRoom = true
  }

  /** A worker that is busy for long keeps no job from others that are not. */
  #giveUpReadAhead(now: number): void {
    if (now - this.#askedAt < STALE_MS || this.#waiters.length > 0) return
    this.#idle = true
    if (this.#queue.length > 0) void this.#giveBack(this.#queue.splice(0))
  }

  /** One timer, for the earliest wish. */
  #wakeIn(delayMs: number): void {
    const { clock, runDetached } = this.#deps
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
      void this.#giveBack(jobs)
      return
    }
    for (const job of jobs) {
      this.#held.set(job.entry, job)
      this.#queue.push(job)
    }
    this.#serve()
  }

  /** Hands out what may be worked on, and tells those who wait that it is over. */
  #serve(): void {
    while (this.#waiters.length > 0) {
      if (this.#state === 'failed') this.#shift()(Promise.reject(this.#failure))
      else if (this.#state !== 'open') this.#shift()({ value: undefined, done: true })
      else if (this.#mayHandOut()) {
        const job = this.#handOut()
        if (job !== undefined) this.#shift()({ value: job, done: false })
      } else return
      if (this.#state === 'failed') this.end()
    }
  }

  #mayHandOut(): boolean {
    return this.#state === 'open' && this.#queue.length > 0 && this.#working < this.#options.reads.concurrency
  }

  /** The next job; undefined when it cannot be read. */
  #handOut(): HeldJob | undefined {
    const job = this.#queue.shift() as HeldJob
    const malformed = job.open(this.#deps.messageBytes)
    this.#working++
    if (malformed !== undefined) {
      job.state = 'settled'
      // one that could not be buried is delivered again, and found malformed again
      void this.settled(job, 'bury', malformed).catch(() => {})
      return undefined
    }
    job.state = 'working'
    this.#idle = false
    this.#askedAt = this.#deps.clock.monotonic()
    this.#options.handing()
    return job
  }

  #shift(): (next: Next | Promise<never>) => void {
    return this.#waiters.shift() as (next: Next | Promise<never>) => void
  }

  /** For its jobs: one was acked, nacked or cannot be read. */
  settled(
    job: HeldJob,
    how: 'ack' | 'nack' | 'bury',
    reason: string = '',
    delayMs: number = 0,
  ): Promise<void> {
    this.#working--
    const told =
      how === 'ack'
        ? this.#settlements.ack(job.entry)
        : this.#settlements.nack(job.entry, delayMs, reason, how === 'bury' ? 0 : undefined)
    if (this.#waiters.length > 0) this.#serve()
    return told
  }

  get stream(): string {
    return this.#options.stream
  }

  #forget(entry: string): void {
    this.#held.delete(entry)
    if (this.#state === 'ended' && this.#held.size === 0) void this.close()
    else if (this.#maintainDue || this.#maintainWithRoom || this.#mayRead()) this.#pump()
  }

  async #giveBack(jobs: readonly HeldJob[]): Promise<void> {
    const client = this.#deps.client()
    for (const job of jobs) this.#held.delete(job.entry)
    if (client === undefined || !this.#grouped) return // they are claimed when the idle time is over
    await giveBack(client, this.#deps.herd, this.#options, jobs)
  }

  #retryIn(delayMs: number): void {
    const client = this.#deps.client()
    if (this.#state === 'open') this.#wakeIn(delayMs)
    else if (client !== undefined) ringOthers(client, this.#deps.herd, this.#options.stream)
  }

  /** A broken connection is waited out; what the server refuses for good ends the iteration. */
  #failed(error: unknown): void {
    if (!isRefusal(error) || this.#state === 'gone') return
    const reason = describeFailure(error, this.#deps.redact)
    this.#more = this.#maintainDue = true
    if (reason.startsWith('NOGROUP')) {
      this.#grouped = false // somebody removed it, or the whole stream
      this.#wakeIn(LEAST_WAIT_MS)
      return
    }
    if (isMoved(error)) return this.#deps.leave(reason)
    if (PASSING.test(reason)) {
      this.#deps.onEvent({ event: 'bus-stream', stream: this.#options.stream, reason })
      return this.#wakeIn(POLL_MS)
    }
    this.#failure = refused('read stream', this.#options.stream, reason)
    if (this.#state === 'open') this.#state = 'failed'
    this.#timer?.cancel()
    this.#serve()
  }

  #reportDeadLetter(entry: string, deliveries: number, reason: string): void {
    const { stream, reads } = this.#options
    this.#deps.onEvent({
      event: 'bus-dead-letter',
      stream,
      group: reads.group,
      entry,
      deliveries,
      reason,
    })
  }
}

/** Answers of a server that will be well again. */
const PASSING = /^(OOM|LOADING|TRYAGAIN|ASK|BUSY|MISCONF|NOREPLICAS)\b/

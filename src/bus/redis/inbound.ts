// The subscriber connection: subscribes to each channel and glob once, however many subscriptions need it, and removes
// the duplicates that Redis sends for overlapping subscriptions.

import type { Redis } from 'ioredis'
import { deferred } from '../../base/deferred.ts'
import type { Deferred } from '../../base/deferred.ts'
import type { Redact } from '../../base/redact.ts'
import { upstreamOf } from './channels.ts'
import type { Upstream } from './channels.ts'
import { describeFailure, isRefusal, refused } from './errors.ts'

export interface InboundOptions {
  readonly prefix: string
  readonly redact: Redact
  /** A message on a channel outside the prefix. */
  readonly onDoorbell: (channel: string, text: string) => void
  /** A message on a channel of this herd. Called once per message, however many subscriptions matched it. */
  readonly onMessage: (topic: string, text: string) => void
  /** Subscriptions were acknowledged, so the result of `passed` may have changed. */
  readonly onPassed: () => void
  readonly onRefused: (pattern: string, reason: string) => void
}

/** One upstream subscription and its reference count. */
interface Held {
  readonly upstream: Upstream
  /** A pattern it serves, for error messages. */
  readonly pattern: string
  count: number
  readonly acknowledged: Deferred<void>
}

export class Inbound {
  readonly #options: InboundOptions
  readonly #held = new Map<string, Held>()
  #client: Redis | undefined
  /** Whether it has never been connected. No message can be missing then, so publishers wait for the first connection. */
  #fresh = true
  /** Whether every earlier subscription is re-established on this connection. */
  #caughtUp = false
  /** Subscriptions are numbered in the order they are requested; the server acknowledges in that order. */
  #requested = 0
  #passed = 0
  // the last message, and the subscriptions it was received through
  #lastChannel = ''
  #lastTopic = ''
  #lastText = ''
  #firstVia = ''
  readonly #otherVias: string[] = []

  constructor(options: InboundOptions) {
    this.#options = options
  }

  /** The number of the newest subscription, for `passed`. */
  get barrier(): number {
    return this.#requested
  }

  /** Whether every subscription up to that number is acknowledged, refused, or lost with the connection. */
  passed(barrier: number): boolean {
    return barrier <= this.#passed
  }

  /** Whether a message published now is received by our subscriptions, at once or after the first connection. */
  get receiving(): boolean {
    return this.#fresh || this.#caughtUp
  }

  /** Resolves when the server acknowledged the subscription. Rejects BYRE_BUS_REFUSED, or with the reason of `release` or
   *  `close`; a rejection counts as handled. */
  acquire(pattern: string): Promise<void> {
    return this.#acquire(pattern, upstreamOf(this.#options.prefix, pattern))
  }

  /** Like `acquire`, for a channel outside the prefix. */
  acquireChannel(name: string): Promise<void> {
    return this.#acquire(name, { kind: 'channel', name })
  }

  release(pattern: string, reason: () => unknown): void {
    this.#release(upstreamOf(this.#options.prefix, pattern), reason)
  }

  releaseChannel(name: string, reason: () => unknown): void {
    this.#release({ kind: 'channel', name }, reason)
  }

  #acquire(pattern: string, upstream: Upstream): Promise<void> {
    const key = keyOf(upstream)
    let held = this.#held.get(key)
    if (held === undefined) {
      held = { upstream, pattern, count: 0, acknowledged: deferred() }
      held.acknowledged.promise.catch(() => {}) // onRefused reports it even when no caller awaits `ready`
      this.#held.set(key, held)
      void this.#subscribe(held)
    }
    held.count++
    return held.acknowledged.promise
  }

  #release(upstream: Upstream, reason: () => unknown): void {
    const key = keyOf(upstream)
    const held = this.#held.get(key)
    if (held === undefined || --held.count > 0) return
    this.#held.delete(key)
    held.acknowledged.reject(reason())
    const client = this.#client
    if (client === undefined) return
    const { kind, name } = upstream
    const gone = kind === 'channel' ? client.unsubscribe(name) : client.punsubscribe(name)
    gone.catch(() => {}) // fails only when the connection breaks, which ends all subscriptions
  }

  /** Subscribes to everything on a new connection. Resolves when all subscriptions are acknowledged or refused. */
  async connect(client: Redis): Promise<void> {
    this.#client = client
    this.#fresh = false
    client.on('message', (channel: string, text: string) => this.#receive(channel, channel, text))
    client.on('pmessage', (glob: string, channel: string, text: string) =>
      this.#receive(`*${glob}`, channel, text),
    )
    await Promise.all([...this.#held.values()].map((held) => this.#subscribe(held)))
    if (client !== this.#client) return
    this.#caughtUp = true
    this.#passed = this.#requested
    this.#options.onPassed()
  }

  disconnect(): void {
    this.#client = undefined
    this.#caughtUp = false
    this.#lastChannel = this.#lastText = ''
    // messages still reach other processes; our own subscribers are notified of the gap
    if (!this.#fresh) this.#pass(this.#requested)
  }

  /** Rejects subscriptions that are not acknowledged with the error that `reason` returns. */
  close(reason: () => unknown): void {
    this.#client = undefined
    for (const held of this.#held.values()) held.acknowledged.reject(reason())
    this.#held.clear()
  }

  async #subscribe(held: Held): Promise<void> {
    const number = ++this.#requested
    const client = this.#client
    if (client === undefined) {
      if (!this.#fresh) this.#pass(number)
      return
    }
    const { kind, name } = held.upstream
    try {
      await (kind === 'channel' ? client.subscribe(name) : client.psubscribe(name))
      held.acknowledged.resolve()
    } catch (error) {
      if (!isRefusal(error)) return // the connection broke: subscribed again on the next one
      const reason = describeFailure(error, this.#options.redact)
      held.acknowledged.reject(refused('subscribe to', held.pattern, reason))
      this.#options.onRefused(held.pattern, reason)
    }
    if (client === this.#client) this.#pass(number)
  }

  #pass(number: number): void {
    if (number <= this.#passed) return
    this.#passed = number
    this.#options.onPassed()
  }

  /**
   * Redis sends one copy of a message for each matching subscription, back to back. The first copy is routed to all
   * subscribers. A message with the same text (which includes the envelope's id) from another subscription is a copy; the
   * same text from the same subscription was published twice.
   */
  #receive(via: string, channel: string, text: string): void {
    const { prefix, onDoorbell, onMessage } = this.#options
    if (channel !== this.#lastChannel) {
      if (!channel.startsWith(prefix)) return onDoorbell(channel, text)
      this.#lastChannel = channel
      this.#lastTopic = channel.slice(prefix.length)
    } else if (text === this.#lastText && via !== this.#firstVia && !this.#otherVias.includes(via)) {
      this.#otherVias.push(via)
      return
    }
    this.#lastText = text
    this.#firstVia = via
    if (this.#otherVias.length > 0) this.#otherVias.length = 0
    onMessage(this.#lastTopic, text)
  }
}

function keyOf(upstream: Upstream): string {
  return upstream.kind === 'channel' ? upstream.name : `*${upstream.name}`
}

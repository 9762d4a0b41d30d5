// The subscriber side: which channels and globs the server sends, each once however many want it, and what arrives.

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
  /** A message on a channel of this herd, once, whatever number of subscriptions of ours it matched. */
  readonly onMessage: (topic: string, text: string) => void
  /** Acknowledgements came: `passed` may answer differently. */
  readonly onPassed: () => void
  readonly onRefused: (pattern: string, reason: string) => void
}

/** One upstream subscription and who holds it. */
interface Held {
  readonly upstream: Upstream
  /** A pattern it serves, for messages. */
  readonly pattern: string
  count: number
  readonly acknowledged: Deferred<void>
}

export class Inbound {
  readonly #options: InboundOptions
  readonly #held = new Map<string, Held>()
  #client: Redis | undefined
  /** It never was connected: nobody can have missed anything, so publishers wait for the first connection. */
  #fresh = true
  /** All that was subscribed before is subscribed on this connection too. */
  #caughtUp = false
  /** Subscriptions are numbered as they are asked for; the server acknowledges in that order. */
  #asked = 0
  #passed = 0
  // the last message, and through which subscriptions it came
  #lastChannel = ''
  #lastTopic = ''
  #lastText = ''
  #firstVia = ''
  readonly #otherVias: string[] = []

  constructor(options: InboundOptions) {
    this.#options = options
  }

  /** The number of the newest subscription; for `passed`. */
  get fence(): number {
    return this.#asked
  }

  /** Whether the server acknowledged, or refused, every subscription up to that number, or cannot now. */
  passed(fence: number): boolean {
    return fence <= this.#passed
  }

  /** Whether what is published now reaches our subscriptions, or waits until it does. */
  get hears(): boolean {
    return this.#fresh || this.#caughtUp
  }

  /** Resolves when the server acknowledged. Rejects BYRE_BUS_REFUSED, or what `close` is given; never unhandled. */
  acquire(pattern: string): Promise<void> {
    return this.#acquire(pattern, upstreamOf(this.#options.prefix, pattern))
  }

  /** As acquire, for a channel outside the prefix. */
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
      held.acknowledged.promise.catch(() => {}) // whoever does not await `ready` is told by onRefused, or closed it
      this.#held.set(key, held)
      void this.#ask(held)
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
    gone.catch(() => {}) // only with the connection, which takes all subscriptions along
  }

  /** A new connection: asks for everything again. Resolves when all was acknowledged or refused. */
  async connect(client: Redis): Promise<void> {
    this.#client = client
    this.#fresh = false
    client.on('message', (channel: string, text: string) => this.#arrive(channel, channel, text))
    client.on('pmessage', (glob: string, channel: string, text: string) =>
      this.#arrive(`*${glob}`, channel, text),
    )
    await Promise.all([...this.#held.values()].map((held) => this.#ask(held)))
    if (client !== this.#client) return
    this.#caughtUp = true
    this.#passed = this.#asked
    this.#options.onPassed()
  }

  disconnect(): void {
    this.#client = undefined
    this.#caughtUp = false
    this.#lastChannel = this.#lastText = ''
    // others can be reached without it; for our own subscribers this is a gap, and they are told
    if (!this.#fresh) this.#pass(this.#asked)
  }

  /** Rejects what waits for an acknowledgement with what `reason` makes. */
  close(reason: () => unknown): void {
    this.#client = undefined
    for (const held of this.#held.values()) held.acknowledged.reject(reason())
    this.#held.clear()
  }

  async #ask(held: Held): Promise<void> {
    const number = ++this.#asked
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
      if (!isRefusal(error)) return // the connection broke: asked again on the next
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
   * Redis sends one copy of a message for each of our subscriptions that matches, back to back. The first is routed to
   * everyone; a copy is recognised by coming through another subscription with the same text (the envelope's id
   * included). The same text through the same subscription was published twice.
   */
  #arrive(via: string, channel: string, text: string): void {
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

// The bus of a worker in a thread or process. Arguments are checked here, inside the call, as in the supervisor's process.
// Subscriptions have their buffer and overflow policy here; the supervisor keeps a second buffer of the same size for the
// time during which this loop is blocked.

import { stringify } from '../../base/json.ts'
import { deferred } from '../../base/deferred.ts'
import type { Deferred } from '../../base/deferred.ts'
import type { Json } from '../../base/json.ts'
import type {
  EnqueueOptions,
  Envelope,
  Gap,
  Job,
  Message,
  PublishOptions,
  RawSubscription,
  RequestOptions,
  ScopedBus,
  StreamOptions,
  SubscribeOptions,
  Subscription,
} from '../../bus/bus.ts'
import { encodePayload } from '../../bus/codec.ts'
import {
  assertPublishOptions,
  messageOptions,
  resolveRequestOptions,
  resolveSubscribeOptions,
} from '../../bus/options.ts'
import { closedError } from '../../bus/router.ts'
import { resolveEnqueueOptions, resolveStreamOptions } from '../../bus/stream-options.ts'
import { BufferedSubscription } from '../../bus/subscription.ts'
import type { SubscriptionOwner } from '../../bus/subscription.ts'
import { assertPattern, assertTopic, covers, isReserved, reserved } from '../../bus/topics.ts'
import type { Link } from '../wire/link.ts'
import { unpackError } from '../wire/protocol.ts'
import type { WireLine } from '../wire/protocol.ts'
import { Calls, childStream } from './calls.ts'

/** A received message, numbered by the supervisor per subscription. */
interface Item {
  readonly number: number
  readonly topic: string
  readonly envelope: Envelope
}

/** The supervisor's answer to ctx.offload: a value, or the value that the module threw. */
export interface Offloaded {
  readonly value?: unknown
  readonly thrown?: unknown
}

export interface ChildBusOptions {
  readonly messageBytes: number
  readonly buffer: number
  /** Called right before a message is passed to the worker's code. */
  readonly delivering?: () => void
}

type ItemSubscription = BufferedSubscription<Item>

export class ChildBus implements ScopedBus {
  readonly #link: Link
  readonly #options: ChildBusOptions
  readonly #calls: Calls
  readonly #open = new Map<number, ChildSubscription>()
  /** Subscriptions that took messages since the last flush. */
  readonly #unacknowledged = new Set<ChildSubscription>()
  readonly #ending = new AbortController()
  #dropped = 0
  #last = 0
  #closed = false

  constructor(link: Link, options: ChildBusOptions) {
    this.#link = link
    this.#options = options
    this.#calls = new Calls(link)
  }

  get openSubscriptions(): number {
    return this.#open.size
  }
  get patterns(): readonly string[] {
    return [...this.#open.values()].flatMap(({ subscription }) => subscription?.pattern ?? [])
  }
  get dropped(): number {
    return this.#dropped
  }

  /** Whether there are consumers, all of them wait for their next message, and no call is pending. */
  get idle(): boolean {
    if (this.#open.size === 0 || this.#calls.size > 0) return false
    for (const { subscription } of this.#open.values()) if (subscription?.waiting !== true) return false
    return true
  }

  publish(topic: string, payload: Json, options?: PublishOptions): Promise<void> {
    if (this.#closed) return Promise.reject(closedError('publish to', topic))
    try {
      assertTopic(topic)
      if (isReserved(topic)) throw reserved('publish to', topic)
      if (options !== undefined) assertPublishOptions(topic, options, false)
      const body = encodePayload(payload, this.#options.messageBytes, topic)
      return this.#calls.ask(
        'publish',
        callArguments(topic, body, messageOptions(options) ?? null),
      ) as Promise<never>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  request<P = Json>(topic: string, payload: Json, options?: RequestOptions): Promise<P> {
    if (this.#closed) return Promise.reject(closedError('request', topic))
    try {
      assertTopic(topic)
      const timeout = resolveRequestOptions(topic, options)
      if (isReserved(topic)) throw reserved('publish to', topic)
      if (options?.signal?.aborted === true) return Promise.reject(options.signal.reason)
      const body = encodePayload(payload, this.#options.messageBytes, topic)
      const values = callArguments(topic, body, { ...messageOptions(options), timeout })
      return this.#calls.ask('request', values, options?.signal) as Promise<P>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  enqueue(stream: string, payload: Json, options?: EnqueueOptions): Promise<string> {
    if (this.#closed) return Promise.reject(closedError('enqueue to stream', stream))
    try {
      resolveEnqueueOptions(stream, options)
      const body = encodePayload(payload, this.#options.messageBytes, stream)
      return this.#calls.ask('enqueue', callArguments(stream, body, options ?? null)) as Promise<string>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Runs CPU work on the supervisor's thread pool; for a thread of the supervisor's process. */
  offload(moduleUrl: string, input: unknown, signal?: AbortSignal): Promise<Offloaded> {
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    return this.#calls.post('offload', [moduleUrl, input], signal) as Promise<Offloaded>
  }

  stream<P = Json>(stream: string, options?: StreamOptions): AsyncIterable<Job<P>> {
    resolveStreamOptions(stream, options, 'worker')
    if (this.#closed) throw closedError('read stream', stream)
    return childStream<P>(this.#calls, ++this.#last, stream, options, this.#ending.signal)
  }

  subscribe<P = Json>(pattern: string, options?: SubscribeOptions): Subscription<P> {
    assertPattern(pattern)
    if (this.#closed) throw closedError('subscribe to', pattern)
    const resolved = resolveSubscribeOptions(pattern, options, this.#options.buffer)
    const own = new ChildSubscription(++this.#last, this)
    const ready = deferred()
    ready.promise.catch(() => {})
    const subscription = new BufferedSubscription<Item>(pattern, resolved, own, ready.promise)
    if (subscription.closed) ready.resolve()
    else {
      own.begin(subscription, ready)
      this.#open.set(own.id, own)
      this.#link.send(
        stringify(['s', own.id, pattern, { buffer: resolved.buffer, overflow: resolved.overflow }]),
      )
    }
    return subscription as unknown as Subscription<P>
  }

  /** A child relays nothing. */
  subscribeRaw(pattern: string): RawSubscription {
    throw closedError('relay', pattern)
  }

  covers(topic: string): boolean {
    for (const { subscription } of this.#open.values())
      if (subscription?.accepting === true && covers(subscription.pattern, topic)) return true
    return false
  }

  closeSubscriptions(): void {
    for (const { subscription } of this.#open.values()) subscription?.close()
  }

  closeAll(): void {
    if (this.#closed) return
    this.#closed = true
    this.closeSubscriptions()
    this.#ending.abort()
    this.#calls.close((method) => closedError('await the answer to', method))
  }

  /** For the link's beforeFlush: one line for each subscription that took messages. */
  acknowledgeTaken(): void {
    for (const own of this.#unacknowledged) this.#link.send(`["g",${own.id},${own.lastTaken}]`)
    this.#unacknowledged.clear()
  }

  /** Handles a line of the supervisor that is about the bus; returns false for any other line. */
  receive(line: WireLine): boolean {
    const [tag, id, value, rest] = line
    switch (tag) {
      case 'm':
      case 'k':
        this.#open.get(id as number)?.take(value as string, rest as Envelope, tag === 'k')
        return true
      case 'r':
        this.#calls.answered(id as number, value)
        return true
      case 'x':
        this.#calls.failed(id as number, value)
        return true
      case 's':
        this.#open.get(id as number)?.acknowledged(value)
        return true
      case 'o':
        this.#dropped += value as number
        this.#open.get(id as number)?.subscription?.lostUpstream(value as number)
        return true
      case 'e':
        this.#open.get(id as number)?.subscription?.close()
        return true
      case 'g':
        this.#open.get(id as number)?.subscription?.reportGap(value as Gap)
        return true
      default:
        return false
    }
  }

  /* Called by its subscriptions. */

  handing(): void {
    this.#options.delivering?.()
  }
  took(own: ChildSubscription): void {
    if (this.#unacknowledged.size === 0) this.#link.touch()
    this.#unacknowledged.add(own)
  }
  lost(own: ChildSubscription, number: number): void {
    this.#dropped++
    this.#link.send(`["l",${own.id},${number}]`)
  }
  ended(own: ChildSubscription): void {
    if (!this.#open.delete(own.id)) return
    if (this.#unacknowledged.delete(own)) this.#link.send(`["g",${own.id},${own.lastTaken}]`)
    this.#link.send(`["u",${own.id}]`)
  }
  async reply(topic: string, replyTo: string, inReplyTo: string, payload: Json): Promise<void> {
    if (this.#closed) throw closedError('reply to', topic)
    const body = encodePayload(payload, this.#options.messageBytes, topic)
    await this.#calls.ask('reply', callArguments(replyTo, body, { inReplyTo }))
  }
}

/** The connection of one subscription to the supervisor. */
class ChildSubscription implements SubscriptionOwner<Item> {
  readonly id: number
  readonly #bus: ChildBus
  subscription: ItemSubscription | undefined
  /** Number of the last message that was taken or pushed out; -1 before the first. */
  lastTaken = -1
  #next = 0
  #ready: Deferred<void> | undefined

  constructor(id: number, bus: ChildBus) {
    this.id = id
    this.#bus = bus
  }

  begin(subscription: ItemSubscription, ready: Deferred<void>): void {
    this.subscription = subscription
    this.#ready = ready
  }

  acknowledged(error: unknown): void {
    if (error === undefined || error === null) this.#ready?.resolve()
    else {
      this.#ready?.reject(unpackError(error))
      this.subscription?.close()
    }
  }

  take(topic: string, envelope: Envelope, kept: boolean): void {
    const item: Item = { number: this.#next++, topic, envelope }
    if (kept) this.subscription?.pushKept(item)
    else this.subscription?.push(item)
  }

  open({ number, topic, envelope }: Item): Message {
    this.lastTaken = number
    this.#bus.took(this)
    const { id, ts, payload, type, headers, replyTo } = envelope
    return {
      id,
      topic,
      ts,
      payload,
      ...(type === undefined ? {} : { type }),
      ...(headers === undefined ? {} : { headers }),
      ...(replyTo === undefined
        ? {}
        : { reply: async (answer: Json) => this.#bus.reply(topic, replyTo, id, answer) }),
    }
  }

  overflowed(_subscription: ItemSubscription, lost: Item): void {
    this.#bus.lost(this, lost.number)
  }

  ended(): void {
    this.#ready?.resolve()
    this.#bus.ended(this)
  }

  /** The supervisor still has unread messages and returns them to the mailbox. */
  unread(): void {}

  handing(): void {
    this.#bus.handing()
  }
}

function callArguments(name: string, body: string, options: object | null): string {
  const first = stringify(name)
  return options === null ? `${first},${body}` : `${first},${body},${stringify(options)}`
}

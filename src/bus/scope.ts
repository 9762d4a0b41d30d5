// The bus of one owner. Everything opened through it is closed with it.

import type { Json } from '../base/json.ts'
import type {
  EnqueueOptions,
  Job,
  Message,
  PublishOptions,
  RawSubscription,
  RequestOptions,
  ScopedBus,
  ScopedBusOptions,
  StreamOptions,
  SubscribeOptions,
  Subscription,
  SystemPublishOptions,
} from './bus.ts'
import type { Carrier, JobIteration } from './carrier.ts'
import { messageOptions, resolveRequestOptions, resolveSubscribeOptions } from './options.ts'
import type { Packet } from './packet.ts'
import { closedError, noStreams } from './router.ts'
import type { Drop, PacketSubscription } from './carrier.ts'
import { BufferedSubscription } from './subscription.ts'
import type { SubscriptionOwner } from './subscription.ts'
import { assertPattern, assertTopic, covers } from './topics.ts'
import { nextTurn, turnIsOver } from './turn.ts'

/** Also the owner that its subscriptions call back. */
export class Scope implements ScopedBus, SubscriptionOwner<Packet> {
  readonly #carrier: Carrier
  /** The worker's name; undefined for the supervisor. */
  readonly #name: string | undefined
  readonly #hooks: ScopedBusOptions
  readonly #onClosed: (scope: Scope) => void
  /** Created with the first subscription: many workers have none, most have one. */
  #open: Set<PacketSubscription> | undefined
  /** Subscriptions that upstream has not acknowledged yet. */
  #announced: Set<Promise<void>> | undefined
  #jobs: Set<JobIteration> | undefined
  #dropped = 0
  #closed = false

  constructor(
    carrier: Carrier,
    name: string | undefined,
    hooks: ScopedBusOptions,
    onClosed: (scope: Scope) => void,
  ) {
    this.#carrier = carrier
    this.#name = name
    this.#hooks = hooks
    this.#onClosed = onClosed
  }

  get openSubscriptions(): number {
    return this.#open?.size ?? 0
  }

  get patterns(): readonly string[] {
    return Array.from(this.#open ?? [], (subscription) => subscription.pattern)
  }

  get dropped(): number {
    return this.#dropped
  }

  get acknowledged(): Promise<void> | undefined {
    if (this.#announced === undefined || this.#announced.size === 0) return undefined
    return Promise.allSettled(this.#announced).then(() => {})
  }

  get closed(): boolean {
    return this.#closed
  }

  publish(topic: string, payload: Json, options?: PublishOptions): Promise<void> {
    return this.#publish(topic, payload, options, undefined)
  }

  /** See HostBus.publishSystem. */
  publishSystem(topic: string, payload: Json, options?: SystemPublishOptions): Promise<void> {
    return this.#publish(topic, payload, options, PRIVILEGED)
  }

  subscribe<P = Json>(pattern: string, options?: SubscribeOptions): Subscription<P> {
    return this.#subscribe(pattern, options, this) as unknown as Subscription<P>
  }

  subscribeRaw(pattern: string, options?: SubscribeOptions): RawSubscription {
    return this.#subscribe(pattern, options, new RawOwner(this)) as unknown as RawSubscription
  }

  #subscribe(
    pattern: string,
    options: SubscribeOptions | undefined,
    owner: SubscriptionOwner<Packet>,
  ): PacketSubscription {
    assertPattern(pattern)
    if (this.#closed) throw closedError('subscribe to', pattern)
    const resolved = resolveSubscribeOptions(pattern, options, this.#carrier.options.buffer)
    const announced = resolved.signal?.aborted === true ? undefined : this.#carrier.register?.(pattern)
    if (announced !== undefined) this.#await(announced)
    const subscription = new BufferedSubscription<Packet>(pattern, resolved, owner, announced ?? ACKNOWLEDGED)
    if (!subscription.closed) {
      this.#open ??= new Set()
      this.#open.add(subscription)
      this.#preload(subscription)
      this.#carrier.attach(subscription)
    }
    return subscription
  }

  request<P = Json>(topic: string, payload: Json, options?: RequestOptions): Promise<P> {
    if (this.#closed) return Promise.reject(closedError('request', topic))
    try {
      assertTopic(topic)
      const timeoutMs = resolveRequestOptions(topic, options)
      const publishOptions = messageOptions(options)
      const send = (replyTo: string): number | undefined => {
        const sent = this.#carrier.publish(topic, payload, publishOptions, { replyTo })
        if (typeof sent === 'number') return sent
        sent.catch((error: unknown) => this.#carrier.requests.fail(replyTo, error))
        return undefined
      }
      const plan = { topic, timeoutMs, signal: options?.signal, send }
      return this.#carrier.requests.open(this, plan) as Promise<P>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  enqueue(stream: string, payload: Json, options?: EnqueueOptions): Promise<string> {
    const { streams } = this.#carrier
    if (streams === undefined) return Promise.reject(noStreams('enqueue to stream', stream))
    if (this.#closed) return Promise.reject(closedError('enqueue to stream', stream))
    return streams.enqueue(stream, payload, options)
  }

  /** On a bus without streams it returns an iterable that rejects on the first `next()`. */
  stream<P = Json>(stream: string, options?: StreamOptions): AsyncIterable<Job<P>> {
    const { streams } = this.#carrier
    if (streams === undefined) {
      const next = (): Promise<never> => Promise.reject(noStreams('read stream', stream))
      return { [Symbol.asyncIterator]: () => ({ next }) }
    }
    if (this.#closed) throw closedError('read stream', stream)
    const jobs = streams.open(this.#name, stream, options, () => this.handing())
    const known = (this.#jobs ??= new Set())
    for (const other of known) if (other.over) known.delete(other)
    known.add(jobs)
    return jobs as unknown as AsyncIterable<Job<P>>
  }

  /** Ends open iterations and rejects pending requests and later calls with BYRE_BUS_CLOSED. Idempotent. */
  closeAll(): void {
    if (this.#closed) return
    this.#closed = true
    this.closeSubscriptions()
    for (const jobs of this.#jobs ?? []) void jobs.close()
    this.#carrier.requests.rejectAll(this, (topic) => closedError('await the reply to', topic))
    this.#onClosed(this)
  }

  covers(topic: string): boolean {
    for (const subscription of this.#open ?? []) {
      if (subscription.accepting && covers(subscription.pattern, topic)) return true
    }
    return false
  }

  closeSubscriptions(): void {
    for (const subscription of this.#open ?? []) subscription.close()
    for (const jobs of this.#jobs ?? []) jobs.end()
  }

  handing(): void {
    this.#hooks.delivering?.()
  }

  open(packet: Packet): Message {
    return packet.replyTo === undefined
      ? packet.open(undefined)
      : packet.open((payload) => this.#reply(packet, payload))
  }

  overflowed(subscription: PacketSubscription, packet: Packet): void {
    this.#dropped++
    if (subscription.overflow === 'fail') this.#carrier.detach(subscription)
    const { onDrop } = this.#carrier.options
    if (onDrop === undefined) return
    const drop: Drop = {
      ...(this.#name === undefined ? {} : { owner: this.#name }),
      pattern: subscription.pattern,
      topic: packet.topic,
      overflow: subscription.overflow,
      dropped: subscription.dropped,
    }
    this.#carrier.guard(() => onDrop(drop))
  }

  ended(subscription: PacketSubscription): void {
    this.#open?.delete(subscription)
    this.#carrier.detach(subscription)
  }

  unread(packets: readonly Packet[]): void {
    if (this.#hooks.returned !== undefined) this.#carrier.guard(() => this.#hooks.returned?.(packets))
  }

  #publish(
    topic: string,
    payload: Json,
    options: PublishOptions | undefined,
    rights: typeof PRIVILEGED | undefined,
  ): Promise<void> {
    if (this.#closed) return Promise.reject(closedError('publish to', topic))
    try {
      const sent = this.#carrier.publish(topic, payload, options, rights)
      return typeof sent === 'number' ? accepted() : sent
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #await(announced: Promise<void>): void {
    const waiting = (this.#announced ??= new Set())
    waiting.add(announced)
    const forget = (): void => void waiting.delete(announced)
    announced.then(forget, forget)
  }

  /** Runs before the subscription is attached, so that kept messages come before any new one. */
  #preload(subscription: PacketSubscription): void {
    if (this.#hooks.claim === undefined) return
    this.#carrier.guard(() => {
      const kept = this.#hooks.claim?.((topic) => covers(subscription.pattern, topic)) ?? []
      if (kept.length > 0) subscription.preload(this.#carrier.packets(kept))
    })
  }

  #reply(packet: Packet, payload: Json): Promise<void> {
    if (this.#closed) return Promise.reject(closedError('reply to', packet.topic))
    try {
      return this.#carrier.reply(packet, payload) ?? accepted()
    } catch (error) {
      return Promise.reject(error)
    }
  }
}

/** Yields packets unopened. */
class RawOwner implements SubscriptionOwner<Packet> {
  readonly #scope: Scope

  constructor(scope: Scope) {
    this.#scope = scope
  }
  open(packet: Packet): Message {
    return packet as unknown as Message
  }
  overflowed(subscription: PacketSubscription, packet: Packet): void {
    this.#scope.overflowed(subscription, packet)
  }
  ended(subscription: PacketSubscription): void {
    this.#scope.ended(subscription)
  }
  unread(packets: readonly Packet[]): void {
    this.#scope.unread(packets)
  }
  handing(): void {}
}

const PRIVILEGED = { privileged: true } as const
/** Without an upstream, a subscription is acknowledged at once. */
const ACKNOWLEDGED: Promise<void> = Promise.resolve()

/** Makes a publisher that awaits each publish yield to the event loop when the time slice of this turn is used up. */
function accepted(): Promise<void> {
  return turnIsOver() ? nextTurn() : ACKNOWLEDGED
}

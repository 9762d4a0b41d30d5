// A bus as one owner sees it: what was opened through it ends with it.

import type { Json } from '../base/json.ts'
import type {
  Job,
  Message,
  PublishOptions,
  RawSubscription,
  RequestOptions,
  ScopedBus,
  ScopedBusOptions,
  SubscribeOptions,
  Subscription,
} from './bus.ts'
import type { Carrier } from './carrier.ts'
import { resolveRequestOptions, resolveSubscribeOptions } from './options.ts'
import type { Packet } from './packet.ts'
import { closedError } from './router.ts'
import type { Drop, PacketSubscription } from './router.ts'
import { BufferedSubscription } from './subscription.ts'
import type { SubscriptionOwner } from './subscription.ts'
import { assertPattern, assertTopic, covers } from './topics.ts'

/** Also what its subscriptions call back into. */
export class Scope implements ScopedBus, SubscriptionOwner<Packet> {
  readonly #router: Carrier
  /** The worker's name; undefined for the supervisor itself. */
  readonly #name: string | undefined
  readonly #hooks: ScopedBusOptions
  readonly #onClosed: (scope: Scope) => void
  readonly #open = new Set<PacketSubscription>()
  /** What upstream has not acknowledged yet. */
  readonly #announced = new Set<Promise<void>>()
  #dropped = 0
  #closed = false

  constructor(
    router: Carrier,
    name: string | undefined,
    hooks: ScopedBusOptions,
    onClosed: (scope: Scope) => void,
  ) {
    this.#router = router
    this.#name = name
    this.#hooks = hooks
    this.#onClosed = onClosed
  }

  get openSubscriptions(): number {
    return this.#open.size
  }

  get patterns(): readonly string[] {
    return Array.from(this.#open, (subscription) => subscription.pattern)
  }

  get dropped(): number {
    return this.#dropped
  }

  get acknowledged(): Promise<void> | undefined {
    if (this.#announced.size === 0) return undefined
    return Promise.allSettled(this.#announced).then(() => {})
  }

  get closed(): boolean {
    return this.#closed
  }

  publish(topic: string, payload: Json, options?: PublishOptions): Promise<void> {
    return this.#publish(topic, payload, options, undefined)
  }

  /** As publish, but may use `system.>`, and answers a request when `topic` is its `replyTo`. For byre's own code. */
  publishSystem(topic: string, payload: Json, options?: PublishOptions): Promise<void> {
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
    const resolved = resolveSubscribeOptions(pattern, options, this.#router.options.buffer)
    const announced = resolved.signal?.aborted === true ? undefined : this.#router.register?.(pattern)
    if (announced !== undefined) this.#await(announced)
    const subscription = new BufferedSubscription<Packet>(pattern, resolved, owner, announced ?? ACKNOWLEDGED)
    if (!subscription.closed) {
      this.#open.add(subscription)
      this.#preload(subscription)
      this.#router.attach(subscription)
    }
    return subscription
  }

  request<P = Json>(topic: string, payload: Json, options?: RequestOptions): Promise<P> {
    if (this.#closed) return Promise.reject(closedError('request', topic))
    try {
      assertTopic(topic)
      const timeoutMs = resolveRequestOptions(topic, options)
      const send = (replyTo: string): number | undefined => {
        const sent = this.#router.publish(topic, payload, options, { replyTo })
        if (typeof sent === 'number') return sent
        sent.catch((error: unknown) => this.#router.requests.fail(replyTo, error))
        return undefined
      }
      const plan = { topic, timeoutMs, signal: options?.signal, send }
      return this.#router.requests.open(this, plan) as Promise<P>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  enqueue(stream: string, _payload?: Json): Promise<string> {
    return Promise.reject(this.#router.noStreams('enqueue to stream', stream))
  }

  /** An iterable whose first `next()` rejects. */
  stream<P = Json>(stream: string): AsyncIterable<Job<P>> {
    const next = (): Promise<never> => Promise.reject(this.#router.noStreams('read stream', stream))
    return { [Symbol.asyncIterator]: () => ({ next }) }
  }

  /** Idempotent. Open iterations end, waiting requests reject BYRE_BUS_CLOSED, and so does whatever is tried later. */
  closeAll(): void {
    if (this.#closed) return
    this.#closed = true
    this.closeSubscriptions()
    this.#router.requests.rejectAll(this, (topic) => closedError('await the reply to', topic))
    this.#onClosed(this)
  }

  covers(topic: string): boolean {
    for (const subscription of this.#open) {
      if (subscription.accepting && covers(subscription.pattern, topic)) return true
    }
    return false
  }

  closeSubscriptions(): void {
    for (const subscription of this.#open) subscription.close()
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
    if (subscription.overflow === 'fail') this.#router.detach(subscription)
    const { onDrop } = this.#router.options
    if (onDrop === undefined) return
    const drop: Drop = {
      ...(this.#name === undefined ? {} : { owner: this.#name }),
      pattern: subscription.pattern,
      topic: packet.topic,
      overflow: subscription.overflow,
      dropped: subscription.dropped,
    }
    this.#router.guard(() => onDrop(drop))
  }

  ended(subscription: PacketSubscription): void {
    this.#open.delete(subscription)
    this.#router.detach(subscription)
  }

  unread(packets: readonly Packet[]): void {
    const { returned } = this.#hooks
    if (returned !== undefined) this.#router.guard(() => returned(packets))
  }

  #publish(
    topic: string,
    payload: Json,
    options: PublishOptions | undefined,
    rights: typeof PRIVILEGED | undefined,
  ): Promise<void> {
    if (this.#closed) return Promise.reject(closedError('publish to', topic))
    try {
      const sent = this.#router.publish(topic, payload, options, rights)
      return typeof sent === 'number' ? ACKNOWLEDGED : sent
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #await(announced: Promise<void>): void {
    this.#announced.add(announced)
    const forget = (): void => void this.#announced.delete(announced)
    announced.then(forget, forget)
  }

  /** Before the subscription is routed to: what was kept comes first, and nothing can come between. */
  #preload(subscription: PacketSubscription): void {
    const { claim } = this.#hooks
    if (claim === undefined) return
    this.#router.guard(() => {
      const kept = claim((topic) => covers(subscription.pattern, topic))
      if (kept.length > 0) subscription.preload(this.#router.packets(kept))
    })
  }

  #reply(packet: Packet, payload: Json): Promise<void> {
    if (this.#closed) return Promise.reject(closedError('reply to', packet.topic))
    try {
      return this.#router.reply(packet, payload) ?? ACKNOWLEDGED
    } catch (error) {
      return Promise.reject(error)
    }
  }
}

/** Opens nothing: the packet itself is what the consumer gets. */
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
/** Where nobody else has to accept it, accepted is acknowledged. */
const ACKNOWLEDGED: Promise<void> = Promise.resolve()

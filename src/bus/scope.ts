// A bus as one owner sees it: what was opened through it ends with it.

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

/** Also what its subscriptions call back into. */
export class Scope implements ScopedBus, SubscriptionOwner<Packet> {
  readonly #router: Carrier
  /** The worker's name; undefined for the supervisor itself. */
  readonly #name: string | undefined
  readonly #hooks: ScopedBusOptions
  readonly #onClosed: (scope: Scope) => void
  /** Made with the first subscription: many workers have none, most have one. */
  #open: Set<PacketSubscription> | undefined
  /** What upstream has not acknowledged yet. */
  #announced: Set<Promise<void>> | undefined
  #jobs: Set<JobIteration> | undefined
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

  /** As publish, but may use `system.>`, and answers a request when `topic` is its `replyTo`. For byre's own code. */
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
    const resolved = resolveSubscribeOptions(pattern, options, this.#router.options.buffer)
    const announced = resolved.signal?.aborted === true ? undefined : this.#router.register?.(pattern)
    if (announced !== undefined) this.#await(announced)
    const subscription = new BufferedSubscription<Packet>(pattern, resolved, owner, announced ?? ACKNOWLEDGED)
    if (!subscription.closed) {
      this.#open ??= new Set()
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
      const about = messageOptions(options)
      const send = (replyTo: string): number | undefined => {
        const sent = this.#router.publish(topic, payload, about, { replyTo })
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

  enqueue(stream: string, payload: Json, options?: EnqueueOptions): Promise<string> {
    const { streams } = this.#router
    if (streams === undefined) return Promise.reject(noStreams('enqueue to stream', stream))
    if (this.#closed) return Promise.reject(closedError('enqueue to stream', stream))
    return streams.enqueue(stream, payload, options)
  }

  /** On a bus without streams an iterable whose first `next()` rejects. */
  stream<P = Json>(stream: string, options?: StreamOptions): AsyncIterable<Job<P>> {
    const { streams } = this.#router
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

  /** Idempotent. Open iterations end, waiting requests reject BYRE_BUS_CLOSED, and so does whatever is tried later. */
  closeAll(): void {
    if (this.#closed) return
    this.#closed = true
    this.closeSubscriptions()
    for (const jobs of this.#jobs ?? []) void jobs.close()
    this.#router.requests.rejectAll(this, (topic) => closedError('await the reply to', topic))
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
    this.#open?.delete(subscription)
    this.#router.detach(subscription)
  }

  unread(packets: readonly Packet[]): void {
    if (this.#hooks.returned !== undefined) this.#router.guard(() => this.#hooks.returned?.(packets))
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

  /** Before the subscription is routed to: what was kept comes first, and nothing can come between. */
  #preload(subscription: PacketSubscription): void {
    if (this.#hooks.claim === undefined) return
    this.#router.guard(() => {
      const kept = this.#hooks.claim?.((topic) => covers(subscription.pattern, topic)) ?? []
      if (kept.length > 0) subscription.preload(this.#router.packets(kept))
    })
  }

  #reply(packet: Packet, payload: Json): Promise<void> {
    if (this.#closed) return Promise.reject(closedError('reply to', packet.topic))
    try {
      return this.#router.reply(packet, payload) ?? accepted()
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

/** Who awaits its publishes one by one leaves the loop its turns, and keeps pace with consumers that wait for theirs. */
function accepted(): Promise<void> {
  return turnIsOver() ? nextTurn() : ACKNOWLEDGED
}

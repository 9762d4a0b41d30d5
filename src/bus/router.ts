// The router behind all scopes of a bus. A publish serialises the payload once, looks up the subscribers (a small cache in
// front of two tries) and appends one shared packet to each queue. Parsing happens later, in the consumers' time.

import type { Clock, Random } from '../base/clock.ts'
import { ByreError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import { isInbox } from '../base/topics.ts'
import type { Carrier, Drop, PacketSubscription, PublishRights } from './carrier.ts'
import type { PublishOptions, RawDelivery } from './bus.ts'
import { decodeEnvelope, encodePayload } from './codec.ts'
import { assertPublishOptions } from './options.ts'
import { isPacket, Packet, packetOf } from './packet.ts'
import { PendingRequests } from './requests.ts'
import { assertPattern, assertTopic, isReserved, reserved } from './topics.ts'
import { PatternTrie } from './trie.ts'

export interface EmbeddedBusOptions {
  /** Largest payload, bytes of JSON: the herd's limits.message. */
  readonly messageBytes: number
  /** Default buffer of a subscription, messages: the herd's limits.buffer. */
  readonly buffer: number
  readonly clock: Clock
  /** Called inside the publisher's call for each message dropped by an overflow policy. Must be cheap and must not throw. */
  readonly onDrop?: ((drop: Drop) => void) | undefined
  /** Receives errors thrown by a tap, a claim or `onDrop`. They are errors of byre, so the publisher does not see them.
   *  @default rethrows the error in a microtask */
  readonly onFault?: ((error: unknown) => void) | undefined
  /** Random part of message ids, which makes them differ between buses. @default Math.random */
  readonly random?: Random | undefined
}

export class Router implements Carrier {
  readonly options: EmbeddedBusOptions
  readonly requests: PendingRequests
  readonly #idPrefix: string
  #lastId = 0
  readonly #subscriptions = new PatternTrie<PacketSubscription>()
  readonly #taps = new PatternTrie<Tap>()
  /** Cached routes by valid topic. Cleared whenever a subscription or tap is added or removed. */
  readonly #routes = new Map<string, Route>()
  /** Packets published by a tap while another packet is being delivered. They are delivered after it, so that every receiver
   *  sees the same order. */
  #backlog: Packet[] | undefined = undefined

  constructor(options: EmbeddedBusOptions) {
    const { clock, random = Math.random } = options
    const token = `${clock.now().toString(36)}${random().toString(36).slice(2, 8)}`
    this.options = options
    this.requests = new PendingRequests(clock, token)
    this.#idPrefix = `${token}-`
  }

  /** Returns the number of subscriptions and taps that received the message. Throws the errors of Bus.publish. */
  publish(topic: string, payload: Json, options: PublishOptions | undefined, rights?: PublishRights): number {
    const route = this.#routeOf(topic)
    if (route.reserved && rights?.privileged !== true) throw reserved('publish to', topic)
    if (options !== undefined) assertPublishOptions(topic, options, rights?.privileged === true)
    const body = encodePayload(payload, this.options.messageBytes, topic)
    const receivers = route.subscriptions.length + route.taps.length
    if (receivers > 0) {
      const id = this.#idPrefix + ++this.#lastId
      const packet = new Packet(id, topic, this.options.clock.now(), body, options, rights?.replyTo)
      if (this.#backlog === undefined) this.#deliver(packet, route)
      else this.#backlog.push(packet)
    } else if (route.reserved && isInbox(topic)) this.requests.resolve(topic, body)
    return receivers
  }

  /** Resolves the request in `packet` with `payload`. Throws the payload errors of Bus.publish. */
  reply(packet: Packet, payload: Json): void {
    const body = encodePayload(payload, this.options.messageBytes, packet.topic)
    if (packet.replyTo !== undefined) this.requests.resolve(packet.replyTo, body)
  }

  /** Delivers a packet received from a network to all matching subscriptions and taps. Throws BYRE_BUS_TOPIC_INVALID. */
  receive(packet: Packet): void {
    const route = this.#routeOf(packet.topic)
    if (this.#backlog === undefined) this.#deliver(packet, route)
    else this.#backlog.push(packet)
  }

  /** Whether any subscription or tap covers `topic`. Throws BYRE_BUS_TOPIC_INVALID. */
  hasReceivers(topic: string): boolean {
    const route = this.#routeOf(topic)
    return route.subscriptions.length + route.taps.length > 0
  }

  attach(subscription: PacketSubscription): void {
    this.#routes.clear()
    this.#subscriptions.add(subscription.pattern, subscription)
  }

  /** Idempotent. */
  detach(subscription: PacketSubscription): void {
    this.#routes.clear()
    this.#subscriptions.remove(subscription.pattern, subscription)
  }

  /** See HostBus.tap. */
  tap(pattern: string, deliver: (delivery: RawDelivery) => void): () => void {
    assertPattern(pattern)
    const tap = new Tap(this, pattern, deliver)
    this.#routes.clear()
    this.#taps.add(pattern, tap)
    // a bound method, not a closure: 50 bytes less for each of a thousand dormant workers
    return tap.release.bind(tap)
  }

  /** Returns the packets of kept deliveries. An unreadable delivery is an error of byre: it is reported and skipped. */
  packets(deliveries: readonly RawDelivery[]): Packet[] {
    const packets: Packet[] = []
    for (const delivery of deliveries) {
      if (isPacket(delivery)) packets.push(delivery)
      else this.guard(() => packets.push(this.#read(delivery)))
    }
    return packets
  }

  /** Runs code of byre inside a worker's call: its errors go to `onFault`, not to the worker. */
  guard(fn: () => unknown): void {
    try {
      fn()
    } catch (error) {
      this.#fault(error)
    }
  }

  /** Called by Tap.release. */
  untap(tap: Tap): void {
    this.#routes.clear()
    this.#taps.remove(tap.pattern, tap)
  }

  removeTaps(): void {
    this.#routes.clear()
    this.#taps.clear()
  }

  #read(delivery: RawDelivery): Packet {
    return packetOf(delivery.topic, decodeEnvelope(delivery.envelope, this.options.messageBytes))
  }

  #routeOf(topic: string): Route {
    return this.#routes.get(topic) ?? this.#findRoute(topic)
  }

  #findRoute(topic: string): Route {
    assertTopic(topic)
    // a reply goes to its pending request, and no pattern matches it
    if (isInbox(topic)) return { subscriptions: [], taps: [], reserved: true }
    const route: Route = { subscriptions: [], taps: [], reserved: isReserved(topic) }
    this.#subscriptions.match(topic, route.subscriptions)
    this.#taps.match(topic, route.taps)
    if (this.#routes.size >= MAX_ROUTES) this.#routes.clear()
    this.#routes.set(topic, route)
    return route
  }

  #deliver(packet: Packet, route: Route): void {
    for (const subscription of route.subscriptions) subscription.push(packet)
    if (route.taps.length > 0) this.#deliverToTaps(packet, route.taps)
  }

  #deliverToTaps(packet: Packet, taps: readonly Tap[]): void {
    const backlog: Packet[] = []
    this.#backlog = backlog
    this.#callTaps(packet, taps)
    for (const next of backlog) {
      const route = this.#routeOf(next.topic)
      for (const subscription of route.subscriptions) subscription.push(next)
      this.#callTaps(next, route.taps)
    }
    this.#backlog = undefined
  }

  #callTaps(packet: Packet, taps: readonly Tap[]): void {
    for (const tap of taps) {
      try {
        tap.deliver?.(packet)
      } catch (error) {
        this.#fault(error)
      }
    }
  }

  #fault(error: unknown): void {
    const { onFault } = this.options
    if (onFault !== undefined) onFault(error)
    else
      hostQueueMicrotask(() => {
        throw error
      })
  }
}

/** The receivers of one topic. */
interface Route {
  readonly subscriptions: PacketSubscription[]
  readonly taps: Tap[]
  readonly reserved: boolean
}

class Tap {
  readonly #router: Router
  readonly pattern: string
  /** Undefined once released: a tap can be released while a packet is being delivered. */
  deliver: ((delivery: RawDelivery) => void) | undefined

  constructor(router: Router, pattern: string, deliver: (delivery: RawDelivery) => void) {
    this.#router = router
    this.pattern = pattern
    this.deliver = deliver
  }

  release(): void {
    if (this.deliver === undefined) return
    this.deliver = undefined
    this.#router.untap(this)
  }
}

/** Largest number of cached routes. Another topic clears the cache, and each topic then costs one lookup in the tries. */
const MAX_ROUTES = 256

// Captured at import: the supervisor wraps the global function to attribute stray errors to workers, and an error thrown
// here belongs to byre.
const { queueMicrotask: hostQueueMicrotask } = globalThis

/** BYRE_BUS_CLOSED: an operation on a bus that is closed, or that belongs to an owner that has ended. */
export function closedError(verb: string, name: unknown): ByreError {
  return new ByreError(
    'BYRE_BUS_CLOSED',
    `Cannot ${verb} '${String(name)}': this bus is closed because its worker or supervisor has ended. Stop using it when the signal aborts.`,
  )
}

/** BYRE_BUS_UNSUPPORTED: durable streams exist on the Redis bus only. */
export function noStreams(verb: string, name: unknown): ByreError {
  return new ByreError(
    'BYRE_BUS_UNSUPPORTED',
    `Cannot ${verb} '${String(name)}': durable streams need the Redis bus, and this herd uses the embedded bus. Set bus: 'redis://host:6379' in the config.`,
  )
}

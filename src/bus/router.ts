// The one router behind all scopes of an embedded bus. A publish serialises once, finds who listens (a small cache in
// front of two tries) and appends one shared packet to each queue; the rest is the consumers' own time.

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
  /** Most bytes of JSON in a payload: the herd's limits.message. */
  readonly messageBytes: number
  /** Messages a subscription holds unless it says otherwise: the herd's limits.buffer. */
  readonly buffer: number
  readonly clock: Clock
  /** Called for each message lost to an overflow policy, inside the publisher's call. Cheap, must not throw. */
  readonly onDrop?: ((drop: Drop) => void) | undefined
  /** Receives what a tap, a claim or `onDrop` threw: an error of byre's own code, never the publisher's.
   *  @default thrown again from a microtask */
  readonly onFault?: ((error: unknown) => void) | undefined
  /** Makes message ids differ between buses. @default Math.random */
  readonly random?: Random | undefined
}

export class Router implements Carrier {
  readonly options: EmbeddedBusOptions
  readonly requests: PendingRequests
  readonly #idPrefix: string
  #lastId = 0
  readonly #subscriptions = new PatternTrie<PacketSubscription>()
  readonly #taps = new PatternTrie<Tap>()
  /** By topic; what is in here is well formed. Emptied by each change of who listens. */
  readonly #routes = new Map<string, Route>()
  /** Packets a tap published while another went round; they follow it, so that everyone sees one order. */
  #backlog: Packet[] | undefined = undefined

  constructor(options: EmbeddedBusOptions) {
    const { clock, random = Math.random } = options
    const token = `${clock.now().toString(36)}${random().toString(36).slice(2, 8)}`
    this.options = options
    this.requests = new PendingRequests(clock, token)
    this.#idPrefix = `${token}-`
  }

  /** How many heard it: subscriptions and taps. Throws what Bus.publish rejects with. */
  publish(topic: string, payload: Json, options: PublishOptions | undefined, rights?: PublishRights): number {
    const route = this.#routeOf(topic)
    if (route.reserved && rights?.privileged !== true) throw reserved('publish to', topic)
    if (options !== undefined) assertPublishOptions(topic, options, rights?.privileged === true)
    const body = encodePayload(payload, this.options.messageBytes, topic)
    const heard = route.subscriptions.length + route.taps.length
    if (heard > 0) {
      const id = this.#idPrefix + ++this.#lastId
      const packet = new Packet(id, topic, this.options.clock.now(), body, options, rights?.replyTo)
      if (this.#backlog === undefined) this.#deliver(packet, route)
      else this.#backlog.push(packet)
    } else if (route.reserved && isInbox(topic)) this.requests.settle(topic, body)
    return heard
  }

  /** Gives `payload` to whoever waits for the reply to `packet`. Throws what Bus.publish rejects with for payloads. */
  reply(packet: Packet, payload: Json): void {
    const body = encodePayload(payload, this.options.messageBytes, packet.topic)
    if (packet.replyTo !== undefined) this.requests.settle(packet.replyTo, body)
  }

  /** For a network: a packet that came in, to all whose pattern covers its topic. Throws BYRE_BUS_TOPIC_INVALID. */
  receive(packet: Packet): void {
    const route = this.#routeOf(packet.topic)
    if (this.#backlog === undefined) this.#deliver(packet, route)
    else this.#backlog.push(packet)
  }

  /** Whether any subscription or tap covers `topic`. Throws BYRE_BUS_TOPIC_INVALID. */
  isHeard(topic: string): boolean {
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

  /** As HostBus.tap. */
  tap(pattern: string, deliver: (delivery: RawDelivery) => void): () => void {
    assertPattern(pattern)
    const tap = new Tap(this, pattern, deliver)
    this.#routes.clear()
    this.#taps.add(pattern, tap)
    // a bound method, not a closure: 50 bytes less for each of a thousand dormant workers
    return tap.release.bind(tap)
  }

  /** The packets behind kept deliveries. One that cannot be read is byre's own fault: reported, and left out. */
  packets(deliveries: readonly RawDelivery[]): Packet[] {
    const packets: Packet[] = []
    for (const delivery of deliveries) {
      if (isPacket(delivery)) packets.push(delivery)
      else this.guard(() => packets.push(this.#read(delivery)))
    }
    return packets
  }

  /** Runs byre's own code inside a worker's call: what it throws goes to `onFault`, not to the worker. */
  guard(fn: () => unknown): void {
    try {
      fn()
    } catch (error) {
      this.#fault(error)
    }
  }

  /** For Tap.release. */
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
    // replies reach the one that waits, whatever patterns there are
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

/** Who hears one topic. */
interface Route {
  readonly subscriptions: PacketSubscription[]
  readonly taps: Tap[]
  readonly reserved: boolean
}

class Tap {
  readonly #router: Router
  readonly pattern: string
  /** Undefined once released: a release may happen while a packet goes round. */
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

/** Bound of the route cache; a topic beyond it costs one walk of the tries. */
const MAX_ROUTES = 256

// Taken at import: the supervisor wraps the global one to attribute strays to workers, and this stray is byre's own.
const { queueMicrotask: hostQueueMicrotask } = globalThis

/** BYRE_BUS_CLOSED: `verb` was tried on `name` through a bus that is closed, or whose owner has ended. */
export function closedError(verb: string, name: unknown): ByreError {
  return new ByreError(
    'BYRE_BUS_CLOSED',
    `Cannot ${verb} '${String(name)}': this bus is closed, its worker or supervisor has ended. Stop using it when the signal aborts.`,
  )
}

/** BYRE_BUS_UNSUPPORTED: what only the Redis bus has. */
export function noStreams(verb: string, name: unknown): ByreError {
  return new ByreError(
    'BYRE_BUS_UNSUPPORTED',
    `Cannot ${verb} '${String(name)}': durable streams need the Redis bus, and this herd runs on the embedded one. Set bus: 'redis://host:6379' in the config.`,
  )
}

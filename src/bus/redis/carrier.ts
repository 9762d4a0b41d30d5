// The carrier of a Redis bus. Messages leave through the outbox; this process receives its own messages like those of
// others, through the subscriber connection, and the router delivers them to the subscriptions.

import type { Redis } from 'ioredis'
import type { Clock, Random } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import type { Json } from '../../base/json.ts'
import type { Redact } from '../../base/redact.ts'
import { isInbox } from '../../base/topics.ts'
import type { BusEvent, BusHealth, Gap, PublishOptions, RawDelivery, SystemPublishOptions } from '../bus.ts'
import type { Carrier, PacketSubscription, PublishRights } from '../carrier.ts'
import { decodeEnvelope, encodeEnvelope, encodePayload } from '../codec.ts'
import { splitReplyTopic } from '../inbox.ts'
import { assertPublishOptions } from '../options.ts'
import type { Packet } from '../packet.ts'
import { closedError, Router } from '../router.ts'
import type { EmbeddedBusOptions } from '../router.ts'
import { assertPattern, assertTopic, isReserved, reserved } from '../topics.ts'
import { channelPrefix } from './channels.ts'
import { Inbound } from './inbound.ts'
import { Link } from './link.ts'
import type { Loss } from './link.ts'
import { Members } from './members.ts'
import { Outbox } from './outbox.ts'
import { Streams } from './streams/streams.ts'
import { readPacket } from './wire-packet.ts'

export interface RedisCarrierOptions extends EmbeddedBusOptions {
  readonly herd: string
  readonly createClient: (name: 'commands' | 'subscriber') => Redis
  readonly redact: Redact
  readonly onEvent?: ((event: BusEvent) => void) | undefined
}

/** When the bus closes: longest wait for acknowledgements of what was written, milliseconds. */
const CLOSE_MS = 250
/** Malformed messages are reported at most this often, milliseconds; all are counted. */
const MALFORMED_REPORT_MS = 10_000

export class RedisCarrier implements Carrier {
  readonly options: RedisCarrierOptions
  readonly #router: Router
  readonly #prefix: string
  readonly #idPrefix: string
  readonly #clock: Clock
  readonly #commands: Link
  readonly #subscriber: Link
  readonly #outbox: Outbox
  readonly #inbound: Inbound
  readonly streams: Streams
  readonly members: Members
  readonly #attached = new Set<PacketSubscription>()
  #lastId = 0
  #inboxOpened = false
  #gaps = 0
  #lastGap: Gap | undefined
  #malformed = 0
  #malformedReportedAt = -Infinity
  #closed = false

  constructor(options: RedisCarrierOptions) {
    const { clock, redact, random = Math.random } = options
    this.options = options
    this.#clock = clock
    this.#router = new Router(options)
    this.#prefix = channelPrefix(options.herd)
    this.#idPrefix = `${this.#router.requests.inbox.slice(this.#router.requests.inbox.indexOf('.') + 1)}-`
    this.#inbound = new Inbound({
      prefix: this.#prefix,
      redact,
      onDoorbell: (channel, text) => this.streams.onDoorbell(channel, text),
      onMessage: (topic, text) => this.#receive(topic, text),
      onPassed: () => this.#outbox.pump(),
      onRefused: (pattern, reason) => this.#report({ event: 'bus-refused', pattern, reason }),
    })
    this.#commands = this.#link('commands', random, {
      onUp: () => {
        this.#outbox.pump()
        this.streams.connected()
        this.members.connected()
      },
      onDown: () => {},
    })
    this.#subscriber = this.#link('subscriber', random, {
      onUp: (client, loss) => void this.#subscribed(client, loss),
      onDown: () => {
        this.#gaps++
        this.#inbound.disconnect()
      },
    })
    this.#outbox = new Outbox({
      clock,
      redact,
      client: () => this.#commands.client,
      passed: (barrier) => this.#inbound.passed(barrier),
      receiving: () => this.#inbound.receiving,
    })
    this.requests.onGivenUp = (replyTo) => this.#outbox.drop(replyTo)
    this.members = new Members({ herd: options.herd, clock, client: () => this.#commands.client })
    this.streams = new Streams({
      herd: options.herd,
      clock,
      redact,
      messageBytes: options.messageBytes,
      token: this.#idPrefix.slice(0, -1),
      client: () => this.#commands.client,
      leave: (reason) => this.#commands.leave(reason),
      onEvent: (event) => this.#report(event),
      listen: (channel) => this.#inbound.acquireChannel(channel),
      unlisten: (channel) => this.#inbound.releaseChannel(channel, () => closedError('listen on', channel)),
    })
  }

  /** Unique to this process. */
  get token(): string {
    return this.#idPrefix.slice(0, -1)
  }

  get requests(): Router['requests'] {
    return this.#router.requests
  }

  get connections(): number {
    return Number(this.#commands.connected) + Number(this.#subscriber.connected)
  }

  get health(): BusHealth {
    const up = this.#commands.client !== undefined && this.#subscriber.client !== undefined
    return {
      up,
      gaps: this.#gaps,
      ...(this.#lastGap === undefined ? {} : { lastGap: this.#lastGap }),
      unsent: this.#outbox.size + this.streams.unsent,
      rejected: this.#outbox.rejected,
      malformed: this.#malformed,
    }
  }

  open(): void {
    this.#commands.open()
    this.#subscriber.open()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    const streams = this.streams.close()
    const members = this.members.close()
    this.#closed = true
    this.#router.removeTaps()
    this.#outbox.close((topic) => closedError('publish to', topic))
    const written = Promise.all([this.#outbox.whenEmpty(), streams, members])
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(CLOSE_MS, resolve)
      void written.then(() => {
        timer.cancel()
        resolve()
      })
    })
    this.#inbound.close(() => closedError('subscribe on', 'a closed bus'))
    this.#commands.close()
    this.#subscriber.close()
  }

  publish(
    topic: string,
    payload: Json,
    options: SystemPublishOptions | undefined,
    rights?: PublishRights,
  ): Promise<void> {
    assertTopic(topic)
    if (isReserved(topic) && rights?.privileged !== true) throw reserved('publish to', topic)
    if (options !== undefined) assertPublishOptions(topic, options, rights?.privileged === true)
    if (rights?.replyTo !== undefined) this.#openInbox()
    const body = encodePayload(payload, this.options.messageBytes, topic)
    const answered = rights?.privileged === true ? options?.inReplyTo : undefined
    return this.#send(topic, body, options, rights?.replyTo, answered)
  }

  reply(packet: Packet, payload: Json): Promise<void> {
    const body = encodePayload(payload, this.options.messageBytes, packet.topic)
    return packet.replyTo === undefined
      ? Promise.resolve()
      : this.#send(packet.replyTo, body, undefined, undefined, packet.id)
  }

  register(pattern: string): Promise<void> {
    return this.#inbound.acquire(pattern)
  }

  attach(subscription: PacketSubscription): void {
    this.#attached.add(subscription)
    this.#router.attach(subscription)
  }

  detach(subscription: PacketSubscription): void {
    if (!this.#attached.delete(subscription)) return
    this.#router.detach(subscription)
    this.#release(subscription.pattern)
  }

  tap(pattern: string, deliver: (delivery: RawDelivery) => void): () => void {
    assertPattern(pattern)
    const release = this.#router.tap(pattern, deliver)
    void this.#inbound.acquire(pattern)
    let released = false
    return () => {
      if (released) return
      released = true
      release()
      this.#release(pattern)
    }
  }

  packets(deliveries: readonly RawDelivery[]): Packet[] {
    return this.#router.packets(deliveries)
  }

  guard(fn: () => unknown): void {
    this.#router.guard(fn)
  }

  #link(
    name: 'commands' | 'subscriber',
    random: Random,
    on: { onUp: (client: Redis, loss: Loss | undefined) => void; onDown: (loss: Loss) => void },
  ): Link {
    const { createClient, clock, redact } = this.options
    const onEvent = (event: BusEvent): void => this.#report(event)
    return new Link({ name, createClient: () => createClient(name), clock, random, redact, onEvent, ...on })
  }

  #send(
    topic: string,
    body: string,
    options: PublishOptions | undefined,
    replyTo: string | undefined,
    answered: string | undefined,
  ): Promise<void> {
    // the id of a request is the id that its reply names
    const back = replyTo === undefined ? undefined : splitReplyTopic(replyTo)
    const to = splitReplyTopic(topic)
    const text = encodeEnvelope({
      id: back?.id ?? this.#idPrefix + ++this.#lastId,
      ts: this.#clock.now(),
      body,
      type: options?.type,
      replyTo: back?.topic,
      inReplyTo: to.id ?? answered,
      traceparent: options?.headers?.traceparent,
    })
    return this.#outbox.send(topic, this.#prefix + to.topic, text, this.#inbound.barrier, replyTo)
  }

  /** Subscribes, with the first request, to the channel for all replies to this process. */
  #openInbox(): void {
    if (this.#inboxOpened) return
    this.#inboxOpened = true
    void this.#inbound.acquire(this.requests.inbox)
  }

  #release(pattern: string): void {
    this.#inbound.release(pattern, () => closedError('subscribe to', pattern))
  }

  async #subscribed(client: Redis, loss: Loss | undefined): Promise<void> {
    await this.#inbound.connect(client)
    this.streams.listening()
    // the connection was lost again: the next one ends this gap together with its own
    if (loss === undefined || this.#subscriber.client !== client) return
    const gap: Gap = { from: loss.from, until: this.#clock.now(), reason: loss.reason }
    this.#lastGap = gap
    this.#report({ event: 'bus-gap', gaps: this.#gaps, ...gap })
    for (const subscription of this.#attached) this.guard(() => subscription.reportGap(gap))
  }

  #receive(topic: string, text: string): void {
    try {
      if (!isInbox(topic)) return this.#router.receive(this.#read(topic, text))
      if (topic !== this.requests.inbox) return // a reply to another process, received through '>'
      const { inReplyTo, payload } = decodeEnvelope(text, this.options.messageBytes)
      if (inReplyTo === undefined) throw new Error('it is a reply without inReplyTo')
      this.requests.resolveParsed(`${topic}.${inReplyTo}`, payload)
    } catch (error) {
      this.#malformed++
      const now = this.#clock.monotonic()
      if (now - this.#malformedReportedAt < MALFORMED_REPORT_MS) return
      this.#malformedReportedAt = now
      const reason = this.options.redact(describeThrown(error).message)
      this.#report({ event: 'bus-malformed', topic: topic.slice(0, 256), reason, count: this.#malformed })
    }
  }

  /** Refuses a request whose reply would be published to a reserved topic: a client that may send requests must not make a
   *  worker publish there, least of all control commands. */
  #read(topic: string, text: string): Packet {
    const packet = readPacket(topic, text, this.options.messageBytes)
    const { replyTo } = packet
    if (replyTo !== undefined && isReserved(replyTo) && !isInbox(replyTo))
      throw new Error(`its replyTo '${replyTo}' is a reserved topic`)
    return packet
  }

  #report(event: BusEvent): void {
    const { onEvent } = this.options
    if (onEvent !== undefined && !this.#closed) this.guard(() => onEvent(event))
  }
}

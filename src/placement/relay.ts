// The host's half of a guest's bus: subscribes and publishes on the guest's behalf, and keeps what the guest has in hand
// until it says that it took it, so that what it leaves unread goes back where it came from.

import type { Json } from '../base/json.ts'
import { isInbox } from '../base/topics.ts'
import type {
  Job,
  PublishOptions,
  RawDelivery,
  RawSubscription,
  ScopedBus,
  StreamOptions,
  SubscribeOptions,
} from '../bus/bus.ts'
import { MAX_FIELD_LENGTH } from '../bus/codec.ts'
import { isReserved } from '../bus/topics.ts'
import type { Offloader } from '../worker/offload.ts'
import type { Offloaded } from './child/bus.ts'
import { InHand } from './wire/in-hand.ts'
import type { Link } from './wire/link.ts'
import { line, packError } from './wire/protocol.ts'
import type { WireLine } from './wire/protocol.ts'

export interface RelayOptions {
  /** Monotonic ms. */
  readonly now: () => number
  readonly link: Link
  readonly bus: ScopedBus
  /** Answers a request whose message was relayed: HostBus.publishSystem. */
  readonly answer: (replyTo: string, payload: Json, inReplyTo: string | undefined) => Promise<void>
  /** The supervisor's pool of threads; absent for a process, which has its own. */
  readonly offload?: Offloader['run']
  /** Takes back, in order and in front, what the guest had in hand. */
  readonly giveBack: (deliveries: readonly RawDelivery[]) => void
}

interface Relayed {
  readonly subscription: RawSubscription
  readonly inHand: InHand<RawDelivery>
}

interface Pulled {
  readonly iterator: AsyncIterator<Job>
  /** Handed to the guest and not settled. */
  readonly jobs: Map<string, Job>
}

export class Relay {
  readonly #options: RelayOptions
  readonly #relayed = new Map<number, Relayed>()
  readonly #requests = new Map<number, AbortController>()
  readonly #streams = new Map<number, Pulled>()

  /** When a message last crossed, in either direction; monotonic ms. */
  activeAt: number

  constructor(options: RelayOptions) {
    this.#options = options
    this.activeAt = options.now()
  }

  /** Messages sent and not known to be taken. */
  get inHand(): number {
    let count = 0
    for (const { inHand } of this.#relayed.values()) count += inHand.size
    return count
  }

  /** Takes a line of the child that is about the bus; false when it is about something else. */
  heard(heard: WireLine): boolean {
    const known = this.#heard(heard)
    if (known) this.activeAt = this.#options.now()
    return known
  }

  #heard(heard: WireLine): boolean {
    const [tag, id, value, ...rest] = heard
    switch (tag) {
      case 'c':
        if (value === 'offload') void this.#offload(id as number, String(rest[0]), rest[1])
        else void this.#answer(id as number, String(value), rest)
        return true
      case 'g':
        this.#relayed.get(id as number)?.inHand.gone(value as number)
        return true
      case 'l':
        this.#relayed.get(id as number)?.inHand.lost(value as number)
        return true
      case 's':
        this.#subscribe(id as number, String(value), rest[0] as SubscribeOptions)
        return true
      case 'u':
        this.#unsubscribe(id as number)
        return true
      case 'a':
        this.#requests.get(id as number)?.abort()
        return true
      default:
        return false
    }
  }

  /** The guest is gone. What it had in hand is given back when it went in order; else it may have taken it. Returns how
   *  many messages were lost with it. */
  close(inOrder: boolean): number {
    const lost = inOrder ? 0 : this.inHand
    for (const [id, { inHand }] of this.#relayed) {
      if (!inOrder) inHand.drain()
      this.#unsubscribe(id)
    }
    for (const request of this.#requests.values()) request.abort()
    for (const { iterator } of this.#streams.values()) void iterator.return?.()
    this.#streams.clear()
    this.#options.bus.closeAll()
    return lost
  }

  #subscribe(id: number, pattern: string, options: SubscribeOptions): void {
    const { link, bus } = this.#options
    let subscription: RawSubscription
    try {
      subscription = bus.subscribeRaw(pattern, options)
    } catch (error) {
      link.send(line('s', id, packError(error)))
      return
    }
    const relayed = { subscription, inHand: new InHand<RawDelivery>() }
    this.#relayed.set(id, relayed)
    subscription.onGap((gap) => link.send(line('g', id, gap)))
    subscription.ready.then(
      () => link.send(`["s",${id}]`),
      (error: unknown) => link.send(line('s', id, packError(error))),
    )
    void this.#pump(id, relayed, subscription.queued)
  }

  /** `kept` messages at the front were claimed: they take no room in the guest's buffer. */
  async #pump(id: number, { subscription, inHand }: Relayed, kept: number): Promise<void> {
    const { link } = this.#options
    let left = kept
    let told = 0
    try {
      for await (const delivery of subscription) {
        if (!this.#relayed.has(id)) {
          this.#options.giveBack([delivery]) // it was on its way out of the queue when the guest closed
          return
        }
        inHand.add(delivery)
        this.activeAt = this.#options.now()
        const tag = left-- > 0 ? 'k' : 'm'
        link.send(`["${tag}",${id},${JSON.stringify(delivery.topic)},${oneLine(delivery.envelope)}]`)
        if (subscription.dropped !== told) told = this.#tellDropped(id, subscription, told)
        if (!link.writable) await link.whenWritable()
      }
    } catch {
      // The policy is 'fail': told as a loss, it ends the subscription on the other side as well, when all is read.
      this.#tellDropped(id, subscription, told)
      return
    }
    if (subscription.dropped !== told) this.#tellDropped(id, subscription, told)
    link.send(`["e",${id}]`)
  }

  #tellDropped(id: number, subscription: RawSubscription, told: number): number {
    this.#options.link.send(`["o",${id},${subscription.dropped - told}]`)
    return subscription.dropped
  }

  #unsubscribe(id: number): void {
    const relayed = this.#relayed.get(id)
    if (relayed === undefined) return
    this.#relayed.delete(id)
    // First what waited here, then in front of it what the guest had in hand.
    relayed.subscription.close()
    const unread = relayed.inHand.drain()
    if (unread.length > 0) this.#options.giveBack(unread)
  }

  async #answer(id: number, method: string, values: readonly unknown[]): Promise<void> {
    const { link } = this.#options
    try {
      const value = await this.#call(id, method, values)
      link.send(value === undefined ? `["r",${id}]` : line('r', id, value))
    } catch (error) {
      link.send(line('x', id, packError(error)))
    }
  }

  #call(id: number, method: string, values: readonly unknown[]): Promise<unknown> {
    const { bus } = this.#options
    const [name, payload, options] = values as [string, Json, object | undefined]
    switch (method) {
      case 'publish':
        return bus.publish(name, payload, options as PublishOptions | undefined)
      case 'request':
        return this.#request(id, name, payload, options as PublishOptions & { timeout: number })
      case 'reply':
        return this.#reply(name, payload, options)
      case 'enqueue':
        return bus.enqueue(name, payload, options)
      default:
        return this.#stream(method, values)
    }
  }

  async #request(
    id: number,
    topic: string,
    payload: Json,
    options: PublishOptions & { timeout: number },
  ): Promise<unknown> {
    const abort = new AbortController()
    this.#requests.set(id, abort)
    try {
      return await this.#options.bus.request(topic, payload, { ...options, signal: abort.signal })
    } finally {
      this.#requests.delete(id)
    }
  }

  /** A value and what was thrown go back as they are, by structured clone; what has no clone is refused. */
  async #offload(id: number, moduleUrl: string, input: unknown): Promise<void> {
    const { link } = this.#options
    try {
      link.post(['r', id, await this.#offloaded(id, moduleUrl, input)])
    } catch (error) {
      link.send(line('x', id, packError(error)))
    }
  }

  async #offloaded(id: number, moduleUrl: string, input: unknown): Promise<Offloaded> {
    const { offload } = this.#options
    if (offload === undefined) throw new Error('work is offloaded to the supervisor by its threads only')
    const abort = new AbortController()
    this.#requests.set(id, abort)
    try {
      return { value: await offload(moduleUrl, input, { signal: abort.signal }) }
    } catch (thrown) {
      return { thrown }
    } finally {
      this.#requests.delete(id)
    }
  }

  async #reply(replyTo: string, payload: Json, options: { inReplyTo?: unknown } | undefined): Promise<void> {
    // A guest's word: it may answer requests and publish to nothing else of byre's.
    if (isReserved(replyTo) && !isInbox(replyTo)) return
    const id = options?.inReplyTo
    const known = typeof id === 'string' && id.length <= MAX_FIELD_LENGTH
    await this.#options.answer(replyTo, payload, known ? id : undefined)
  }

  async #stream(method: string, values: readonly unknown[]): Promise<unknown> {
    const id = values[0] as number
    if (method === 'stream-next') return this.#pull(id, values[1] as string, values[2] as StreamOptions)
    const pulled = this.#streams.get(id)
    if (method === 'stream-close') {
      // what it has in hand may still be settled
      if (pulled?.jobs.size === 0) this.#streams.delete(id)
      await pulled?.iterator.return?.()
      return undefined
    }
    const job = pulled?.jobs.get(String(values[1]))
    pulled?.jobs.delete(String(values[1]))
    if (method === 'stream-ack') await job?.ack()
    else if (method === 'stream-nack')
      await job?.nack((values[2] ?? undefined) as { delay?: number; reason?: string } | undefined)
    return undefined
  }

  async #pull(id: number, stream: string, options: StreamOptions): Promise<unknown> {
    let pulled = this.#streams.get(id)
    if (pulled === undefined) {
      const iterator = this.#options.bus.stream(stream, options)[Symbol.asyncIterator]()
      pulled = { iterator, jobs: new Map() }
      this.#streams.set(id, pulled)
    }
    const next = await pulled.iterator.next()
    if (next.done === true) return null
    const job = next.value
    pulled.jobs.set(job.id, job)
    const { payload, deliveries, dead } = job
    return { id: job.id, payload, deliveries, ...(dead === undefined ? {} : { dead }) }
  }
}

/** JSON text of another's making may be laid out over several lines; inside strings there is no raw newline. */
function oneLine(envelope: string): string {
  return envelope.includes('\n') ? envelope.replaceAll('\n', ' ') : envelope
}

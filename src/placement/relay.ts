// The supervisor's end of a child's bus: subscribes and publishes for the child, and keeps each message until the child
// acknowledges it, so that unread messages return to the worker's mailbox.

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
import type { Link } from './wire/link.ts'
import { line, packError } from './wire/protocol.ts'
import type { WireLine } from './wire/protocol.ts'

export interface RelayOptions {
  /** Monotonic ms. */
  readonly now: () => number
  readonly link: Link
  readonly bus: ScopedBus
  /** Replies to a request whose message was relayed: HostBus.publishSystem. */
  readonly reply: (replyTo: string, payload: Json, inReplyTo: string | undefined) => Promise<void>
  /** Runs work on the supervisor's thread pool; absent for a process, which has a separate pool. */
  readonly offload?: Offloader['run']
  /** Takes unread messages back, in order, to the front of the mailbox. */
  readonly giveBack: (deliveries: readonly RawDelivery[]) => void
}

interface Relayed {
  readonly subscription: RawSubscription
  readonly inFlight: InFlight<RawDelivery>
}

interface Pulled {
  readonly iterator: AsyncIterator<Job>
  /** Sent to the child and neither acked nor nacked. */
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

  /** Number of messages sent and not acknowledged. */
  get inFlight(): number {
    let count = 0
    for (const { inFlight } of this.#relayed.values()) count += inFlight.size
    return count
  }

  /** Handles a line of the child that is about the bus; returns false for any other line. */
  receive(received: WireLine): boolean {
    const known = this.#handle(received)
    if (known) this.activeAt = this.#options.now()
    return known
  }

  #handle(received: WireLine): boolean {
    const [tag, id, value, ...rest] = received
    switch (tag) {
      case 'c':
        if (value === 'offload') void this.#offload(id as number, String(rest[0]), rest[1])
        else void this.#answer(id as number, String(value), rest)
        return true
      case 'g':
        this.#relayed.get(id as number)?.inFlight.taken(value as number)
        return true
      case 'l':
        this.#relayed.get(id as number)?.inFlight.lost(value as number)
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

  /** Called when the child has ended. Unacknowledged messages are returned if it ended in order; otherwise it may have taken
   *  them, and they are lost. Returns the number of lost messages. */
  close(inOrder: boolean): number {
    const lost = inOrder ? 0 : this.inFlight
    for (const [id, { inFlight }] of this.#relayed) {
      if (!inOrder) inFlight.drain()
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
    const relayed = { subscription, inFlight: new InFlight<RawDelivery>() }
    this.#relayed.set(id, relayed)
    subscription.onGap((gap) => link.send(line('g', id, gap)))
    subscription.ready.then(
      () => link.send(`["s",${id}]`),
      (error: unknown) => link.send(line('s', id, packError(error))),
    )
    void this.#pump(id, relayed, subscription.queued)
  }

  /** The first `kept` messages were claimed from the mailbox: they take no room in the child's buffer. */
  async #pump(id: number, { subscription, inFlight }: Relayed, kept: number): Promise<void> {
    const { link } = this.#options
    let left = kept
    let reported = 0
    try {
      for await (const delivery of subscription) {
        if (!this.#relayed.has(id)) {
          this.#options.giveBack([delivery]) // it was leaving the queue when the child closed
          return
        }
        inFlight.add(delivery)
        this.activeAt = this.#options.now()
        const tag = left-- > 0 ? 'k' : 'm'
        link.send(`["${tag}",${id},${JSON.stringify(delivery.topic)},${oneLine(delivery.envelope)}]`)
        if (subscription.dropped !== reported) reported = this.#sendDropped(id, subscription, reported)
        if (!link.writable) await link.whenWritable()
      }
    } catch {
      // The policy is 'fail': the reported loss ends the child's subscription too, once everything is read.
      this.#sendDropped(id, subscription, reported)
      return
    }
    if (subscription.dropped !== reported) this.#sendDropped(id, subscription, reported)
    link.send(`["e",${id}]`)
  }

  #sendDropped(id: number, subscription: RawSubscription, reported: number): number {
    this.#options.link.send(`["o",${id},${subscription.dropped - reported}]`)
    return subscription.dropped
  }

  #unsubscribe(id: number): void {
    const relayed = this.#relayed.get(id)
    if (relayed === undefined) return
    this.#relayed.delete(id)
    // Closing returns the queued messages first; the unacknowledged ones then go in front of them.
    relayed.subscription.close()
    const unread = relayed.inFlight.drain()
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

  /** Returns the value, or the thrown value, by structured clone; a value that cannot be cloned is refused. */
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
    if (offload === undefined) throw new Error('only a thread can offload work to the supervisor')
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
    // Not trusted: a child may reply to requests, and publish to no other reserved topic.
    if (isReserved(replyTo) && !isInbox(replyTo)) return
    const id = options?.inReplyTo
    const known = typeof id === 'string' && id.length <= MAX_FIELD_LENGTH
    await this.#options.reply(replyTo, payload, known ? id : undefined)
  }

  async #stream(method: string, values: readonly unknown[]): Promise<unknown> {
    const id = values[0] as number
    if (method === 'stream-next') return this.#pull(id, values[1] as string, values[2] as StreamOptions)
    const pulled = this.#streams.get(id)
    if (method === 'stream-close') {
      // the child may still ack or nack the jobs that it was sent
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

/** JSON from another publisher may span several lines; a JSON string contains no raw newline. */
function oneLine(envelope: string): string {
  return envelope.includes('\n') ? envelope.replaceAll('\n', ' ') : envelope
}

/** Messages sent to a child's subscription and not acknowledged, by number: 0, 1, 2, ... Every operation except `drain` is
 *  O(1), amortised, per message. */
export class InFlight<T extends object> {
  #items: (T | undefined)[] = []
  /** All entries before it are removed. Moving the rest down at each `taken` would cost the length of a backlog every turn. */
  #head = 0
  /** Number of `#items[#head]`. */
  #base = 0
  /** Removed entries from `#head` on. */
  #holes = 0

  /** Number of messages left. */
  get size(): number {
    return this.#items.length - this.#head - this.#holes
  }

  add(item: T): void {
    this.#items.push(item)
  }

  /** Removes all up to and including number `last`. */
  taken(last: number): void {
    const count = Math.min(last - this.#base + 1, this.#items.length - this.#head)
    if (count <= 0) return
    const end = this.#head + count
    for (let i = this.#head; i < end; i++) {
      if (this.#items[i] === undefined) this.#holes--
      this.#items[i] = undefined
    }
    this.#base += count
    this.#head = end
    if (end * 2 < this.#items.length) return
    this.#items = this.#items.slice(end)
    this.#head = 0
  }

  /** Removes this one only. */
  lost(number: number): void {
    const index = number - this.#base + this.#head
    if (index < this.#head || index >= this.#items.length || this.#items[index] === undefined) return
    this.#items[index] = undefined
    this.#holes++
  }

  /** Removes and returns all that are left, in order. */
  drain(): T[] {
    const left = this.#items.filter((item): item is T => item !== undefined)
    this.#base += this.#items.length - this.#head
    this.#items = []
    this.#head = 0
    this.#holes = 0
    return left
  }
}

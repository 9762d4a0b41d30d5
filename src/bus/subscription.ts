// The consumer's side of every bus: an async iterator over a bounded queue of packets that are opened one by one, as
// they are taken. Publishers only ever append or resolve a promise here: none of the consumer's code runs inside
// publish, so neither its errors nor its time reach the publisher, and its async context is its own (the continuation
// of an `await next()` runs in the context that awaited, whoever resolved it).

import { AsyncResource } from 'node:async_hooks'
import { ByreError } from '../base/errors.ts'
import { onAbort } from './abort.ts'
import type { Gap, Message, OverflowPolicy, Subscription } from './bus.ts'
import type { ResolvedSubscribeOptions } from './options.ts'
import { BoundedQueue } from './queue.ts'

/** What a subscription needs from whoever made it. */
export interface SubscriptionOwner<I extends object> {
  /** The message in a queued item, with a copy of the payload for this consumer. Must not throw. */
  open(item: I): Message
  /** `lost` went to the overflow policy; counted already. With `fail` it is the last: route no more here.
   *  Must not throw. */
  overflowed(subscription: BufferedSubscription<I>, lost: I): void
  /** It was closed; called once. Must not throw. */
  ended(subscription: BufferedSubscription<I>): void
  /** What it held unread when it closed, in order; not called with nothing. Must not throw. */
  unread(items: readonly I[]): void
  /** An item is about to reach the consumer's code. Cheap, must not throw. */
  handing(): void
}

/** `I` is what the bus queues. Its own iterator: one consumer. */
export class BufferedSubscription<I extends object>
  implements Subscription, AsyncIterator<Message, undefined>
{
  readonly pattern: string
  readonly ready: Promise<void>
  readonly overflow: OverflowPolicy
  readonly buffer: number
  readonly #owner: SubscriptionOwner<I>
  readonly #queue: BoundedQueue<I>
  readonly #unlisten: (() => void) | undefined
  #state: 'open' | 'failed' | 'closed' = 'open'
  #dropped = 0
  /** First and last of the `next()` calls that wait, oldest first. Never set while the queue holds something. */
  #waiter: Waiter<I> | undefined = undefined
  #lastWaiter: Waiter<I> | undefined = undefined
  #gapListeners: Set<(gap: Gap) => void> | undefined = undefined

  /** With a signal that is aborted already it is closed from the start, and `ended` is not called.
   *  @param ready as in Subscription; the maker sees to it that a rejection is never unhandled. */
  constructor(
    pattern: string,
    options: ResolvedSubscribeOptions,
    owner: SubscriptionOwner<I>,
    ready: Promise<void>,
  ) {
    this.pattern = pattern
    this.ready = ready
    this.overflow = options.overflow
    this.buffer = options.buffer
    this.#owner = owner
    this.#queue = new BoundedQueue(options.buffer)
    const signal = options.signal
    if (signal?.aborted === true) this.#state = 'closed'
    else if (signal !== undefined) this.#unlisten = onAbort(signal, () => this.close())
  }

  get dropped(): number {
    return this.#dropped
  }

  get queued(): number {
    return this.#queue.size
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  /** Takes messages still: neither closed nor ended by `fail`. */
  get accepting(): boolean {
    return this.#state === 'open'
  }

  /** For the bus: what was kept before the subscription existed; see BoundedQueue.preload. */
  preload(items: readonly I[]): void {
    this.#queue.preload(items)
  }

  /** For the bus: hands `item` to the consumer that waits, else queues it. Ignored once ended. Never throws. */
  push(item: I): void {
    if (this.#state !== 'open') return
    const waiter = this.#waiter
    if (waiter !== undefined) {
      this.#waiter = waiter.next
      this.#owner.handing()
      waiter.resolve(item)
      return
    }
    const lost = this.#queue.offer(item, this.overflow)
    if (lost === undefined) return
    this.#dropped++
    if (this.overflow === 'fail') this.#state = 'failed'
    this.#owner.overflowed(this, lost)
  }

  /** For the bus: tells the listeners of a lost connection, each in the async context that registered it. */
  reportGap(gap: Gap): void {
    if (this.#gapListeners !== undefined) for (const listener of this.#gapListeners) listener(gap)
  }

  onGap(listener: (gap: Gap) => void): () => void {
    // as a promise reaction, so that a throw is an unhandled rejection of the listener's own context
    const bound = AsyncResource.bind((gap: Gap): void => void Promise.resolve(gap).then(listener))
    const listeners = (this.#gapListeners ??= new Set())
    listeners.add(bound)
    return () => void listeners.delete(bound)
  }

  /** With `fail`, what was queued before the overflow is delivered first; then one call rejects, later ones are done. */
  next(): Promise<IteratorResult<Message, undefined>> {
    const item = this.#queue.shift()
    if (item !== undefined) {
      this.#owner.handing()
      return Promise.resolve({ value: this.#owner.open(item), done: false })
    }
    if (this.#state === 'open') return this.#wait()
    if (this.#state === 'closed') return Promise.resolve({ value: undefined, done: true })
    this.close()
    return Promise.reject(this.#overflowError())
  }

  return(): Promise<IteratorResult<Message, undefined>> {
    this.close()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#unlisten?.()
    this.#gapListeners = undefined
    const unread = this.#queue.drain()
    this.#owner.ended(this)
    if (unread.length > 0) this.#owner.unread(unread)
    for (let waiter = this.#waiter; waiter !== undefined; waiter = waiter.next) waiter.resolve(undefined)
    this.#waiter = this.#lastWaiter = undefined
  }

  /** The waiter gets the packet and opens it itself: parsing is the consumer's time, not the publisher's. */
  #wait(): Promise<IteratorResult<Message, undefined>> {
    const handed = new Promise<I | undefined>((resolve) => {
      const waiter: Waiter<I> = { resolve, next: undefined }
      if (this.#waiter === undefined) this.#waiter = waiter
      else if (this.#lastWaiter !== undefined) this.#lastWaiter.next = waiter
      this.#lastWaiter = waiter
    })
    return handed.then((item) => {
      if (item === undefined) return { value: undefined, done: true }
      // Closed between the hand-over and this turn: the consumer has not seen it.
      if (this.#state === 'closed') this.#owner.unread([item])
      else return { value: this.#owner.open(item), done: false }
      return { value: undefined, done: true }
    })
  }

  #overflowError(): ByreError {
    return new ByreError(
      'BYRE_BUS_OVERFLOW',
      `Cannot go on with the subscription to '${this.pattern}': its overflow policy is 'fail', and a message arrived ` +
        `while ${this.buffer} were waiting. Consume faster, raise 'buffer', or choose 'drop-oldest' or 'drop-newest'.`,
      { details: { pattern: this.pattern, buffer: this.buffer, dropped: this.#dropped } },
    )
  }
}

interface Waiter<I> {
  readonly resolve: (item: I | undefined) => void
  next: Waiter<I> | undefined
}

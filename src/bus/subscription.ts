// The consumer's side of a bus: an async iterator over a bounded queue of packets, each opened when it is taken. A
// publisher only appends a packet or resolves a promise, so no code of the consumer runs inside publish: neither its
// errors nor its run time affect the publisher, and it runs in its own async context (the continuation of an `await
// next()` runs in the context that awaited).

import { AsyncResource } from 'node:async_hooks'
import { ByreError } from '../base/errors.ts'
import { onAbort } from './abort.ts'
import type { Gap, Message, OverflowPolicy, Subscription } from './bus.ts'
import type { ResolvedSubscribeOptions } from './options.ts'
import { BoundedQueue } from './queue.ts'
import { inNextTurn, nextTurn, turnIsOver } from './turn.ts'

/** Callbacks of a subscription into the bus that created it. */
export interface SubscriptionOwner<I extends object> {
  /** Returns the message in a queued item, with a copy of the payload for this consumer. Must not throw. */
  open(item: I): Message
  /** Called when the overflow policy dropped `lost`, which is counted already. With `fail` the subscription accepts no more
   *  messages after that. Must not throw. */
  overflowed(subscription: BufferedSubscription<I>, lost: I): void
  /** Called once when the subscription is closed. Must not throw. */
  ended(subscription: BufferedSubscription<I>): void
  /** Receives the unread items of a subscription that closed, in order, if there are any. Must not throw. */
  unread(items: readonly I[]): void
  /** Called before an item reaches the consumer's code. Must be cheap and must not throw. */
  handing(): void
}

/** A subscription that is its own iterator, so it has one consumer. `I` is the type of the queued items. */
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
  /** The pending `next()` calls, oldest first. Those before `#waiter` have been handed an item that they have not opened yet;
   *  those from `#waiter` on have none, and exist only while the queue is empty. */
  #firstWaiter: Waiter<I> | undefined = undefined
  #waiter: Waiter<I> | undefined = undefined
  #lastWaiter: Waiter<I> | undefined = undefined
  #gapListeners: Set<(gap: Gap) => void> | undefined = undefined

  /** If the signal is already aborted, the subscription starts closed and `ended` is not called.
   *  @param ready see Subscription; the caller makes sure that a rejection is handled */
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

  /** Whether the consumer awaits a message, so it has finished with all earlier ones. */
  get waiting(): boolean {
    return this.#waiter !== undefined
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  /** Whether it still accepts messages: neither closed nor ended by `fail`. */
  get accepting(): boolean {
    return this.#state === 'open'
  }

  /** Adds messages that were kept before the subscription existed; see BoundedQueue.preload. */
  preload(items: readonly I[]): void {
    this.#queue.preload(items)
  }

  /** Like `preload` for a single item: hands it to a waiting consumer, or queues it beyond the buffer's limit. Ignored once
   *  ended. Never throws. */
  pushKept(item: I): void {
    if (this.#state === 'open' && !this.#hand(item)) this.#queue.keep(item)
  }

  /** Hands `item` to a waiting consumer, or queues it. Ignored once ended. Never throws. */
  push(item: I): void {
    if (this.#state !== 'open' || this.#hand(item)) return
    const lost = this.#queue.offer(item, this.overflow)
    if (lost === undefined) return
    this.#dropped++
    if (this.overflow === 'fail') this.#state = 'failed'
    this.#owner.overflowed(this, lost)
  }

  /** For a bus that relays another bus: the policy dropped `count` messages upstream. With `fail` this ends the
   *  subscription, as an overflow here does. */
  lostUpstream(count: number): void {
    this.#dropped += count
    if (this.overflow === 'fail' && this.#state === 'open') {
      this.#state = 'failed'
      // calls without an item continue in next(): the first of them rejects, the others are done
      for (let waiter = this.#takeUnserved(); waiter !== undefined; waiter = waiter.next)
        waiter.resolve?.(this.next())
    }
  }

  /** Notifies the gap listeners, each in the async context that registered it. */
  reportGap(gap: Gap): void {
    if (this.#gapListeners !== undefined) for (const listener of this.#gapListeners) listener(gap)
  }

  onGap(listener: (gap: Gap) => void): () => void {
    // called as a promise reaction, so that a throw is an unhandled rejection in the listener's context
    const bound = AsyncResource.bind((gap: Gap): void => void Promise.resolve(gap).then(listener))
    const listeners = (this.#gapListeners ??= new Set())
    listeners.add(bound)
    return () => void listeners.delete(bound)
  }

  /** With `fail`, messages queued before the overflow are delivered first; then one call rejects and later calls are done. */
  next(): Promise<IteratorResult<Message, undefined>> {
    const item = this.#queue.shift()
    if (item !== undefined || this.#state === 'open') return this.#wait(item)
    if (this.#state === 'closed') return Promise.resolve({ value: undefined, done: true })
    // earlier calls have been handed items that they open in this turn, or in the next when they are held
    if (this.#firstWaiter !== undefined)
      return (turnIsOver() ? nextTurn() : Promise.resolve()).then(() => this.next())
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
    this.#owner.ended(this)
    const handed = this.#dismissWaiters()
    const queued = this.#queue.drain()
    if (handed.length + queued.length > 0) this.#owner.unread([...handed, ...queued])
  }

  /** Hands the item to the first pending `next()` without one; false when there is none. */
  #hand(item: I): boolean {
    const waiter = this.#waiter
    if (waiter === undefined) return false
    this.#waiter = waiter.next
    waiter.item = item
    if (turnIsOver()) hold(waiter)
    else settle(waiter)
    return true
  }

  /** Removes the pending `next()` calls that have no item. Returns the first of them. */
  #takeUnserved(): Waiter<I> | undefined {
    const first = this.#waiter
    if (first === undefined) return undefined
    let last: Waiter<I> | undefined
    for (let waiter = this.#firstWaiter; waiter !== first; waiter = waiter?.next) last = waiter
    if (last === undefined) this.#firstWaiter = undefined
    else last.next = undefined
    this.#lastWaiter = last
    this.#waiter = undefined
    return first
  }

  /** Ends every pending `next()`. Returns the items that were handed out and not opened, oldest first. */
  #dismissWaiters(): I[] {
    const unread: I[] = []
    for (let waiter = this.#firstWaiter; waiter !== undefined; waiter = waiter.next) {
      if (waiter.item !== undefined) unread.push(waiter.item)
      waiter.item = undefined
      settle(waiter)
    }
    this.#firstWaiter = this.#waiter = this.#lastWaiter = undefined
    return unread
  }

  /**
   * Creates a pending `next()`. Its first promise reaction is attached here, before any of the consumer's, and opens the
   * item right before the consumer continues. So parsing counts as the consumer's time, and with many consumers `handing`
   * is followed by code of the same owner.
   */
  #wait(item: I | undefined): Promise<IteratorResult<Message, undefined>> {
    const result: Handed = { value: undefined, done: true }
    const waiter: Waiter<I> = { result, resolve: undefined, item, next: undefined }
    const held = item !== undefined && turnIsOver()
    const waiting =
      item === undefined || held
        ? new Promise<Handed>((resolve) => (waiter.resolve = resolve as NonNullable<Waiter<I>['resolve']>))
        : Promise.resolve(result)
    if (item === undefined) this.#waiter ??= waiter
    if (held) hold(waiter)
    if (this.#lastWaiter !== undefined) this.#lastWaiter.next = waiter
    this.#firstWaiter ??= waiter
    this.#lastWaiter = waiter
    void waiting.then(() => this.#fill(waiter), rejected)
    return waiting as Promise<IteratorResult<Message, undefined>>
  }

  /** Waiters are filled in the order in which they were handed items, so this is the first one. */
  #fill(waiter: Waiter<I>): void {
    if (waiter.item === undefined) return // the subscription was closed and the item returned
    this.#firstWaiter = waiter.next
    if (waiter.next === undefined) this.#lastWaiter = undefined
    this.#owner.handing()
    waiter.result.value = this.#owner.open(waiter.item)
    waiter.result.done = false
  }

  #overflowError(): ByreError {
    return new ByreError(
      'BYRE_BUS_OVERFLOW',
      `Cannot continue the subscription to '${this.pattern}': its overflow policy is 'fail', and a message arrived ` +
        `while the buffer of ${this.buffer} messages was full. Consume faster, raise 'buffer', or use 'drop-oldest' or 'drop-newest'.`,
      { details: { pattern: this.pattern, buffer: this.buffer, dropped: this.#dropped } },
    )
  }
}

type Resolvable = Pick<Waiter<object>, 'result' | 'resolve'>

/** Resolves a waiter that has its item in the next turn; a close resolves it earlier. */
function hold(waiter: Resolvable): void {
  inNextTurn(() => settle(waiter))
}

function settle(waiter: Resolvable): void {
  waiter.resolve?.(waiter.result)
}

/** The consumer handles the rejection; the internal reaction has nothing to do. */
function rejected(): void {}

/** The result of a pending `next()`: done, until an item is opened into it. */
interface Handed {
  value: Message | undefined
  done: boolean
}

interface Waiter<I> {
  readonly result: Handed
  /** Undefined when an item was available at once and the time slice of the turn is not used up. */
  resolve: ((result: Handed | Promise<IteratorResult<Message, undefined>>) => void) | undefined
  item: I | undefined
  next: Waiter<I> | undefined
}

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
import { inNextTurn, nextTurn, turnIsOver } from './turn.ts'

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
  /** The `next()` calls that wait, oldest first: those handed an item they have not opened yet, from `#waiter` on those
   *  without one, which exist only while the queue is empty. */
  #firstWaiter: Waiter<I> | undefined = undefined
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

  /** Its consumer waits for a message: it has dealt with all it took. */
  get waiting(): boolean {
    return this.#waiter !== undefined
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

  /** As preload, for one of several that arrive one by one: handed to the consumer that waits, else kept beyond the
   *  buffer's size. Ignored once ended. Never throws. */
  pushKept(item: I): void {
    if (this.#state === 'open' && !this.#hand(item)) this.#queue.keep(item)
  }

  /** For the bus: hands `item` to the consumer that waits, else queues it. Ignored once ended. Never throws. */
  push(item: I): void {
    if (this.#state !== 'open' || this.#hand(item)) return
    const lost = this.#queue.offer(item, this.overflow)
    if (lost === undefined) return
    this.#dropped++
    if (this.overflow === 'fail') this.#state = 'failed'
    this.#owner.overflowed(this, lost)
  }

  /** For a bus that relays another: upstream the policy took `count` more. With `fail` this ends it, as if here. */
  lostUpstream(count: number): void {
    this.#dropped += count
    if (this.overflow === 'fail' && this.#state === 'open') {
      this.#state = 'failed'
      // whoever waits for nothing in particular asks again: the first to do so rejects
      for (let waiter = this.#takeEmptyHanded(); waiter !== undefined; waiter = waiter.next)
        waiter.resolve?.(this.next())
    }
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
    if (item !== undefined || this.#state === 'open') return this.#wait(item)
    if (this.#state === 'closed') return Promise.resolve({ value: undefined, done: true })
    // what earlier calls were handed is theirs; they open it in this turn, or when they are held in the next
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

  /** To the first `next()` that waits; false when none does. */
  #hand(item: I): boolean {
    const waiter = this.#waiter
    if (waiter === undefined) return false
    this.#waiter = waiter.next
    waiter.item = item
    if (turnIsOver()) hold(waiter)
    else settle(waiter)
    return true
  }

  /** Takes out the waiting `next()` calls that were handed nothing. Returns the first of them. */
  #takeEmptyHanded(): Waiter<I> | undefined {
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

  /** Ends every waiting `next()`. Returns the items they were handed and have not opened, oldest first. */
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
   * Whoever resolves the promise, a reaction of its own, attached before any of the consumer's, opens the item in the
   * turn right before the consumer goes on. So parsing is the consumer's time, and with many consumers `handing` is
   * followed by the code of its own owner, not of another.
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

  /** Waiters are filled in the order in which they were handed to, so this is the first one. */
  #fill(waiter: Waiter<I>): void {
    if (waiter.item === undefined) return // closed meanwhile, and the item given back
    this.#firstWaiter = waiter.next
    if (waiter.next === undefined) this.#lastWaiter = undefined
    this.#owner.handing()
    waiter.result.value = this.#owner.open(waiter.item)
    waiter.result.done = false
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

type Settled = Pick<Waiter<object>, 'result' | 'resolve'>

/** Its item is there; the consumer goes on in the next turn, or at the close. */
function hold(waiter: Settled): void {
  inNextTurn(() => settle(waiter))
}

function settle(waiter: Settled): void {
  waiter.resolve?.(waiter.result)
}

/** The consumer is told; byre's own reaction has nothing to do then. */
function rejected(): void {}

/** What a `next()` that waits resolves with: done, until an item was opened into it. */
interface Handed {
  value: Message | undefined
  done: boolean
}

interface Waiter<I> {
  readonly result: Handed
  /** Undefined when an item was there at once, in a turn that is not over. */
  resolve: ((result: Handed | Promise<IteratorResult<Message, undefined>>) => void) | undefined
  item: I | undefined
  next: Waiter<I> | undefined
}

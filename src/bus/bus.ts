// The contract of the bus for workers and the supervisor. Two implementations, embedded.ts and redis.ts, pass the same
// contract suite (test/bus/contract.ts).

import type { Json } from '../base/json.ts'

/** A message as it is sent. The topic comes from the transport, never from the body. */
export interface Envelope {
  readonly v: 1
  readonly id: string
  readonly type?: string
  /** Milliseconds since the epoch at publish. */
  readonly ts: number
  readonly payload: Json
  readonly replyTo?: string
  /** In a reply: the `id` of the request, where the replies to many requests share one topic. */
  readonly inReplyTo?: string
  readonly headers?: { readonly traceparent?: string }
}

/** A message as a subscriber receives it. Each subscriber has its own copy of the payload. */
export interface Message<P = Json> {
  readonly id: string
  readonly topic: string
  readonly type?: string
  readonly ts: number
  readonly payload: P
  readonly headers?: { readonly traceparent?: string }
  /** Replies to a request; absent on other messages. A second reply is ignored. */
  readonly reply?: (payload: Json) => Promise<void>
}

export interface PublishOptions {
  readonly type?: string
  readonly headers?: { readonly traceparent?: string }
}

export interface RequestOptions extends PublishOptions {
  /** Milliseconds, or a duration ('5s'). @default '5s' */
  readonly timeout?: number | string
  readonly signal?: AbortSignal
}

/** `drop-oldest` drops the oldest message in the buffer, `drop-newest` drops the new message, `fail` ends the iteration
 *  with BYRE_BUS_OVERFLOW. */
export type OverflowPolicy = 'drop-oldest' | 'drop-newest' | 'fail'

export interface SubscribeOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal
  /** Messages buffered for a slow consumer, 1 to 1,000,000. @default the herd's limits.buffer (1000) */
  readonly buffer?: number
  /** @default 'drop-oldest' */
  readonly overflow?: OverflowPolicy
}

/** A period without connection: the subscription may have missed messages published in it. An embedded bus reports none. */
export interface Gap {
  /** Milliseconds since the epoch. `until` is when the subscription was re-established. */
  readonly from: number
  readonly until: number
  readonly reason: string
}

/**
 * A live subscription. `subscribe` registers it upstream, not the first `next()`.
 * It has one consumer: iterate it once. Leaving the loop (break, throw, signal) closes it.
 */
export interface Subscription<P = Json> extends AsyncIterable<Message<P>> {
  readonly pattern: string
  /** Resolves when upstream acknowledged the subscription. Rejects when upstream refused it. */
  readonly ready: Promise<void>
  /** Messages dropped by the overflow policy so far. */
  readonly dropped: number
  /** Messages in the buffer now. */
  readonly queued: number
  /** Calls `listener` for each gap. Returns a function that removes the listener. */
  onGap(listener: (gap: Gap) => void): () => void
  /** Idempotent. Pending and later `next()` calls resolve as done; buffered messages are discarded. */
  close(): void
}

export interface EnqueueOptions {
  /** A second job with this id within an hour is not added; `enqueue` resolves with the id of the first. 1 to 256 characters. */
  readonly dedupeId?: string
  /** Earliest delivery after this time. Milliseconds or a duration, at most 365 d. @default 0 */
  readonly delay?: number | string
}

export interface StreamOptions {
  /** Each group receives every job; one reader of the group receives it. @default the worker's name */
  readonly group?: string
  /** Maximum number of jobs in progress (yielded, neither acked nor nacked), 1 to 1000. As many again are read ahead. @default 1 */
  readonly concurrency?: number
  /** Deliveries without an ack after which a job moves to the stream `<name>.dead`. @default 5 */
  readonly maxDeliveries?: number
  /** Silence of a reader's process after which other readers claim its jobs. Milliseconds or a duration, 1 s to 1 d; use
   *  the same value in all readers of a group. @default '30s' */
  readonly claimAfter?: number | string
  /** Ends the iteration. */
  readonly signal?: AbortSignal
}

export interface NackOptions {
  /** Earliest redelivery after this time. Milliseconds or a duration, at most 365 d. @default 0 */
  readonly delay?: number | string
  /** Recorded in the dead-letter stream if this was the last delivery. At most 1024 characters are kept. */
  readonly reason?: string
}

/** A job of a durable stream, delivered at least once. */
export interface Job<P = Json> {
  readonly id: string
  readonly payload: P
  /** 1 on the first delivery. */
  readonly deliveries: number
  /** In a dead-letter stream: why the job is there. */
  readonly dead?: { readonly group: string; readonly deliveries: number; readonly reason: string }
  /** Marks the job as done; it is not delivered again. Resolves when the server confirmed it. Rejects BYRE_BUS_UNAVAILABLE
   *  and _REFUSED; the job is then delivered again. */
  ack(): Promise<void>
  /** Marks the job as not done: it is delivered again, or moves to the dead-letter stream. Rejects like `ack`. */
  nack(options?: NackOptions): Promise<void>
}

/** The bus of a worker, `ctx.bus`. Everything the worker opens through it is closed when the worker ends. */
export interface Bus {
  /** Topic: dot-separated tokens, no wildcards, not under `system.` for workers. Rejects: BYRE_BUS_TOPIC_INVALID,
   *  _TOPIC_RESERVED, _PAYLOAD_INVALID (not JSON), _PAYLOAD_TOO_LARGE (limits.message, 1 MiB), _CLOSED; on a network
   *  also _UNAVAILABLE (`details.sent`: false or 'unknown') and _REFUSED. */
  publish(topic: string, payload: Json, options?: PublishOptions): Promise<void>
  /** Pattern: `*` is one token, a last `>` is one or more tokens (NATS rules). Throws BYRE_BUS_TOPIC_INVALID, _CLOSED. */
  subscribe<P = Json>(pattern: string, options?: SubscribeOptions): Subscription<P>
  /** Resolves with the payload of the first reply. Rejects BYRE_BUS_REQUEST_TIMEOUT, and with the errors of `publish`. */
  request<P = Json>(topic: string, payload: Json, options?: RequestOptions): Promise<P>
  /** Adds a durable job. Resolves with its id when the server has stored it. Rejects BYRE_ARGUMENT_INVALID, with the errors
   *  of `publish`, BYRE_BUS_OVERFLOW for a full stream, and BYRE_BUS_UNSUPPORTED on the embedded bus. */
  enqueue(stream: string, payload: Json, options?: EnqueueOptions): Promise<string>
  /** Iterates over the jobs of a stream, oldest first. Ack or nack every job. Throws BYRE_ARGUMENT_INVALID; the iteration
   *  rejects BYRE_BUS_REFUSED when the server refuses the read, and BYRE_BUS_UNSUPPORTED on the embedded bus. One consumer. */
  stream<P = Json>(stream: string, options?: StreamOptions): AsyncIterable<Job<P>>
}

/** A delivery that is not parsed yet. Activation keeps these for a dormant worker: small and immutable. */
export interface RawDelivery {
  readonly topic: string
  readonly envelope: string
}

/** An event of a network bus. Each becomes a log line. Texts are redacted. */
export type BusEvent =
  | { readonly event: 'bus-down'; readonly connection: string; readonly reason: string }
  /** `downMs` is absent for the first connection. */
  | {
      readonly event: 'bus-up'
      readonly connection: string
      readonly attempts: number
      readonly downMs?: number
    }
  /** The subscriber connection was lost and is re-established; messages may be missing. */
  | ({ readonly event: 'bus-gap'; readonly gaps: number } & Gap)
  /** The server refused a subscription. */
  | { readonly event: 'bus-refused'; readonly pattern: string; readonly reason: string }
  /** The server refused a lease command. Reported once per reason; the command is retried. */
  | { readonly event: 'bus-lease-refused'; readonly lease: string; readonly reason: string }
  /** A malformed message arrived on a channel of this herd. Reported at most every 10 s; `count` is the total so far. */
  | {
      readonly event: 'bus-malformed'
      readonly topic: string
      readonly reason: string
      readonly count: number
    }
  /** A job was dead-lettered: it is now in the stream `<stream>.dead`. */
  | {
      readonly event: 'bus-dead-letter'
      readonly stream: string
      readonly group: string
      readonly entry: string
      readonly deliveries: number
      readonly reason: string
    }
  /** The server refused to read a stream for now. The read is retried. */
  | { readonly event: 'bus-stream'; readonly stream: string; readonly reason: string }

/** State of the network connections of a bus. */
export interface BusHealth {
  /** Whether both connections work. */
  readonly up: boolean
  /** Lost subscriber connections so far, including one that is not re-established yet. */
  readonly gaps: number
  readonly lastGap?: Gap
  /** Messages not sent yet, or not acknowledged yet. */
  readonly unsent: number
  /** Messages rejected with BYRE_BUS_UNAVAILABLE so far. */
  readonly rejected: number
  /** Malformed messages received so far. */
  readonly malformed: number
}

/** Options for code that relays a reply on behalf of a worker. */
export interface SystemPublishOptions extends PublishOptions {
  /** The `id` of the request that the message answers, up to 256 characters. */
  readonly inReplyTo?: string | undefined
}

/** The supervisor's end of the bus: one for all workers. */
export interface HostBus extends Bus {
  readonly kind: 'embedded' | 'redis'
  /** Open network connections. */
  readonly connections: number
  /** Absent on a bus without a network. */
  readonly health?: BusHealth
  /** Like `publish`, but may publish to `system.>`. With the `replyTo` of an envelope as topic it replies to that request,
   *  for code that relays messages to a thread or child process. */
  publishSystem(topic: string, payload: Json, options?: SystemPublishOptions): Promise<void>
  /** Whether a subscriber's pattern covers `topic`, so that a message without subscribers costs nothing. Always true where
   *  other processes may subscribe. */
  hasSubscribers(topic: string): boolean
  /** Calls `deliver` synchronously for each message that `pattern` covers, in publish order; for activation. `deliver` must
   *  not throw. Returns a function that removes the tap. */
  tap(pattern: string, deliver: (delivery: RawDelivery) => void): () => void
  /** A bus for one owner: `closeAll()` closes what the owner opened, and publishing to `system.>` is refused. No code of the
   *  owner runs inside a publisher's call: the owner awaits messages and handles each in the async context that awaited. */
  scoped(owner: string, options?: ScopedBusOptions): ScopedBus
  /** Calls `wake` when a reader of `group` would find jobs in `stream`: at once, then for each new job. Absent on a bus
   *  without durable streams. */
  watchStream?(stream: string, group: string, wake: () => void): StreamWatch
  /** The processes of the herd that answer control messages. Absent on a bus that is not shared. */
  readonly members?: HerdMembers
  /** Seeks a lease of the herd; one process of the fleet holds it at a time. Absent on a bus that is not shared. */
  seekLease?(name: string, ttlMs: number, events: LeaseEvents): LeaseHold
  close(): Promise<void>
}

export interface HerdMembers {
  /** Announces `member` periodically until the returned function is called. */
  announce(member: string): () => void
  /** Members that announced themselves within the last minute. Rejects when the server cannot be reached. */
  list(): Promise<readonly string[]>
}

/** Callbacks of a lease that is sought. `won` is called at most once, `lost` at most once and last; neither after `drop`. */
export interface LeaseEvents {
  /** `fence` is a decimal integer, greater than the fence of every earlier holder. */
  won(fence: string): void
  /** Another process holds the lease now, or may hold it soon: stop at once. */
  lost(reason: string): void
}

export interface LeaseHold {
  /** Releases the lease, or stops seeking it. Idempotent. */
  drop(): void
}

/** Watches a stream on behalf of a worker that does not read it now. */
export interface StreamWatch {
  /** Checks the stream again, since a reader may have taken jobs. */
  check(): void
  release(): void
}

export interface ScopedBusOptions {
  /** Called when a subscription opens. Returns the kept deliveries that the pattern covers, in publish order. They are
   *  buffered first; the buffer is enlarged by their number until its length has fallen to `buffer` once. */
  readonly claim?: (covers: (topic: string) => boolean) => readonly RawDelivery[]
  /** Receives, in order, the unread messages of a subscription that closes. Claimed deliveries are the same objects. */
  readonly returned?: (deliveries: readonly RawDelivery[]) => void
  /** Called before each message is handed to the owner's code; for the breadcrumb. Must be cheap. */
  readonly delivering?: () => void
}

/** A subscription that yields unparsed deliveries, for relaying them to a thread or child process. */
export type RawSubscription = Omit<Subscription, typeof Symbol.asyncIterator> & AsyncIterable<RawDelivery>

export interface ScopedBus extends Bus {
  /** Like `subscribe`, with `claim` and `returned`, but yields unparsed deliveries and does not call `delivering`. Reply to
   *  a request among them through HostBus.publishSystem. */
  subscribeRaw(pattern: string, options?: SubscribeOptions): RawSubscription
  /** Resolves when upstream acknowledged or refused every subscription opened here so far. Undefined when none is pending,
   *  and in a thread or child process, where the supervisor holds the subscriptions. */
  readonly acknowledged?: Promise<void> | undefined
  /** Whether an open subscription covers `topic`. */
  covers(topic: string): boolean
  /** Ends the open iterations; `publish` and `request` still work. For a worker whose signal has aborted. */
  closeSubscriptions(): void
  closeAll(): void
  readonly openSubscriptions: number
  /** Patterns of the open subscriptions, in the order they were opened. */
  readonly patterns: readonly string[]
  /** Messages dropped by all subscriptions opened here, open or closed. */
  readonly dropped: number
}

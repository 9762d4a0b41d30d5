// The contract of the bus: what a worker and the supervisor may rely on, whatever carries the messages.
// Two implementations (embedded.ts, redis.ts) pass one contract suite (test/bus/contract.ts).

import type { Json } from '../base/json.ts'

/** What travels. The topic comes from the transport, never from the body. */
export interface Envelope {
  readonly v: 1
  readonly id: string
  readonly type?: string
  /** Milliseconds since the epoch at publish. */
  readonly ts: number
  readonly payload: Json
  readonly replyTo?: string
  /** In a reply, where many arrive on one topic: the `id` of the request. */
  readonly inReplyTo?: string
  readonly headers?: { readonly traceparent?: string }
}

/** What a subscriber receives: its own copy. */
export interface Message<P = Json> {
  readonly id: string
  readonly topic: string
  readonly type?: string
  readonly ts: number
  readonly payload: P
  readonly headers?: { readonly traceparent?: string }
  /** Present on a request only; answers it. A second reply is ignored. */
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

/** `drop-oldest` keeps the newest, `drop-newest` keeps the oldest, `fail` ends the iteration with BYRE_BUS_OVERFLOW. */
export type OverflowPolicy = 'drop-oldest' | 'drop-newest' | 'fail'

export interface SubscribeOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal
  /** Messages held for a slow consumer, 1 to 1,000,000. @default the herd's limits.buffer (1000) */
  readonly buffer?: number
  /** @default 'drop-oldest' */
  readonly overflow?: OverflowPolicy
}

/** A lost connection behind a subscription: messages published meanwhile may be missing. Embedded buses never report one. */
export interface Gap {
  /** Milliseconds since the epoch; `until` when the subscription was re-established. */
  readonly from: number
  readonly until: number
  readonly reason: string
}

/**
 * A live subscription. It is registered upstream by the call that made it, not by the first `next()`.
 * One consumer: iterate it once. Leaving the loop (break, throw, signal) closes it.
 */
export interface Subscription<P = Json> extends AsyncIterable<Message<P>> {
  readonly pattern: string
  /** Resolves when upstream acknowledged the subscription; rejects when it never will. */
  readonly ready: Promise<void>
  /** Messages dropped by the overflow policy so far. */
  readonly dropped: number
  /** Messages waiting now. */
  readonly queued: number
  /** Called for each gap. Returns its own release. */
  onGap(listener: (gap: Gap) => void): () => void
  /** Idempotent. Waiting and later `next()` calls resolve as done; what is queued is discarded. */
  close(): void
}

export interface EnqueueOptions {
  /** A second job with this id within an hour is not added: `enqueue` answers the id of the first. 1 to 256 characters. */
  readonly dedupeId?: string
  /** Milliseconds or a duration, at most 365 d: nobody gets it sooner. @default 0 */
  readonly delay?: number | string
}

export interface StreamOptions {
  /** Each group gets every job, to one of its readers. @default the worker's name */
  readonly group?: string
  /** Jobs worked on at once, 1 to 1000: yielded and neither acked nor nacked. As many again are read ahead. @default 1 */
  readonly concurrency?: number
  /** A job that is not acked after so many deliveries goes to the stream `<name>.dead`. @default 5 */
  readonly maxDeliveries?: number
  /** When the process of a reader has been silent for so long, others take over what it held. Milliseconds or a duration,
   *  1 s to 1 d; the same for all readers of a group. @default '30s' */
  readonly claimAfter?: number | string
  /** Ends the iteration. */
  readonly signal?: AbortSignal
}

export interface NackOptions {
  /** Nobody gets it sooner. Milliseconds or a duration, at most 365 d. @default 0 */
  readonly delay?: number | string
  /** For the dead-letter stream, should this have been the last delivery. */
  readonly reason?: string
}

/** One at-least-once job of a durable stream. */
export interface Job<P = Json> {
  readonly id: string
  readonly payload: P
  /** 1 on the first delivery. */
  readonly deliveries: number
  /** Of a job in a dead-letter stream: why it is there. */
  readonly dead?: { readonly group: string; readonly deliveries: number; readonly reason: string }
  /** Done: nobody gets it again. Resolves when the server knows. Rejects BYRE_BUS_UNAVAILABLE and _REFUSED: it will be
   *  delivered again then. */
  ack(): Promise<void>
  /** Not done: it will be delivered again, or goes to the dead-letter stream. Rejects as ack. */
  nack(options?: NackOptions): Promise<void>
}

/** The bus a worker sees as `ctx.bus`; what the worker opened through it is closed with the worker. */
export interface Bus {
  /** Topic: dot-separated tokens, no wildcards, not under `system.` for workers. Rejects: BYRE_BUS_TOPIC_INVALID,
   *  _TOPIC_RESERVED, _PAYLOAD_INVALID (not JSON), _PAYLOAD_TOO_LARGE (limits.message, 1 MiB), _CLOSED; on a network
   *  also _UNAVAILABLE (`details.sent`: false or 'unknown') and _REFUSED. */
  publish(topic: string, payload: Json, options?: PublishOptions): Promise<void>
  /** Pattern: `*` is one token, a last `>` is one or more tokens (NATS rules). Throws BYRE_BUS_TOPIC_INVALID, _CLOSED. */
  subscribe<P = Json>(pattern: string, options?: SubscribeOptions): Subscription<P>
  /** The first reply. Rejects BYRE_BUS_REQUEST_TIMEOUT, and what publish rejects with. */
  request<P = Json>(topic: string, payload: Json, options?: RequestOptions): Promise<P>
  /** Adds a durable job and resolves with its id when the server has it. Rejects BYRE_ARGUMENT_INVALID, what publish
   *  rejects with, BYRE_BUS_OVERFLOW for a full stream; on the embedded bus BYRE_BUS_UNSUPPORTED, naming the Redis bus. */
  enqueue(stream: string, payload: Json, options?: EnqueueOptions): Promise<string>
  /** Jobs, oldest first, each until it is acked: settle every one. Throws BYRE_ARGUMENT_INVALID; the iteration rejects
   *  BYRE_BUS_REFUSED when the server will not have it, and BYRE_BUS_UNSUPPORTED on the embedded bus. One consumer. */
  stream<P = Json>(stream: string, options?: StreamOptions): AsyncIterable<Job<P>>
}

/** A delivery before it is parsed: what activation keeps for a dormant worker, cheap and immutable. */
export interface RawDelivery {
  readonly topic: string
  readonly envelope: string
}

/** What a bus on a network has to tell: a line of the log each. Texts are redacted. */
export type BusEvent =
  | { readonly event: 'bus-down'; readonly connection: string; readonly reason: string }
  /** `downMs` is absent for the first connection. */
  | {
      readonly event: 'bus-up'
      readonly connection: string
      readonly attempts: number
      readonly downMs?: number
    }
  /** Messages may be missing: the subscriber connection was lost and is there again. */
  | ({ readonly event: 'bus-gap'; readonly gaps: number } & Gap)
  /** The server refused a subscription. */
  | { readonly event: 'bus-refused'; readonly pattern: string; readonly reason: string }
  /** The server refused to say who holds a lease: told once for each reason; asked again. */
  | { readonly event: 'bus-lease-refused'; readonly lease: string; readonly reason: string }
  /** Something else than an envelope arrived on a channel of this herd: one of `count` so far, the first within 10 s. */
  | {
      readonly event: 'bus-malformed'
      readonly topic: string
      readonly reason: string
      readonly count: number
    }
  /** A job was given up: it is in the stream `<stream>.dead` now. */
  | {
      readonly event: 'bus-dead-letter'
      readonly stream: string
      readonly group: string
      readonly entry: string
      readonly deliveries: number
      readonly reason: string
    }
  /** The server refused to read a stream for now; tried again. */
  | { readonly event: 'bus-stream'; readonly stream: string; readonly reason: string }

/** How the network behind a bus does. */
export interface BusHealth {
  /** Both connections work. */
  readonly up: boolean
  /** Lost subscriber connections so far, those not re-established yet included. */
  readonly gaps: number
  readonly lastGap?: Gap
  /** Messages that wait to be sent or to be acknowledged. */
  readonly unsent: number
  /** Messages rejected with BYRE_BUS_UNAVAILABLE so far. */
  readonly rejected: number
  /** Deliveries that were no envelope so far. */
  readonly malformed: number
}

/** For whoever relays the reply of another. */
export interface SystemPublishOptions extends PublishOptions {
  /** The `id` of the request it answers, up to 256 characters. */
  readonly inReplyTo?: string | undefined
}

/** The bus as the supervisor holds it: one for all workers. */
export interface HostBus extends Bus {
  readonly kind: 'embedded' | 'redis'
  /** Upstream network connections held now. */
  readonly connections: number
  /** Absent where there is no network behind it. */
  readonly health?: BusHealth
  /** As publish, but may use `system.>`, and with an envelope's `replyTo` as topic it answers that request (for whoever
   *  relays messages to a thread or a child). */
  publishSystem(topic: string, payload: Json, options?: SystemPublishOptions): Promise<void>
  /** Subscribers whose pattern covers `topic`; lets a beat nobody hears cost nothing. Always true where it cannot be known. */
  hasSubscribers(topic: string): boolean
  /** A tap in publish order, called synchronously; for activation. It must not throw. Returns its release. */
  tap(pattern: string, deliver: (delivery: RawDelivery) => void): () => void
  /** A bus scoped to one owner: `closeAll()` closes what it opened; `system.>` is refused for publish. No code of the
   *  owner runs inside a publisher's call: it awaits messages, so each is handled in the async context that awaited. */
  scoped(owner: string, options?: ScopedBusOptions): ScopedBus
  /** Calls `wake` while a reader of `group` would find jobs in `stream`: at once, then each time there are new ones. Where
   *  durable streams are. Returns its release. */
  watchStream?(stream: string, group: string, wake: () => void): StreamWatch
  /** The processes of the herd that answer control messages. Where there is a shared bus. */
  readonly members?: HerdMembers
  /** Seeks a lease of the herd, that one process of the fleet holds at a time. Where there is a shared bus. */
  seekLease?(name: string, ttlMs: number, events: LeaseEvents): LeaseHold
  close(): Promise<void>
}

export interface HerdMembers {
  /** Says that `member` is there, until released. */
  announce(member: string): () => void
  /** Those heard of within the last minute. Rejects when the server cannot be asked. */
  list(): Promise<readonly string[]>
}

/** What becomes of a lease that is sought. `won` at most once, `lost` at most once and last; neither after `drop`. */
export interface LeaseEvents {
  /** `fence` is a decimal integer, greater than that of any holder before. */
  won(fence: string): void
  /** It is, or may soon be, another's: stop at once. */
  lost(reason: string): void
}

export interface LeaseHold {
  /** Gives it back, or up. Idempotent. */
  drop(): void
}

/** Looks after a stream for somebody who does not read it now. */
export interface StreamWatch {
  /** It may have been read: looks again. */
  check(): void
  release(): void
}

export interface ScopedBusOptions {
  /** Claims kept deliveries when a subscription opens: those the pattern covers, in publish order. They go first into
   *  its buffer, which is enlarged by their number until it is down to `buffer` once. */
  readonly claim?: (covers: (topic: string) => boolean) => readonly RawDelivery[]
  /** Takes back, in order, what a closing subscription held unread. Claimed deliveries come back as the same objects. */
  readonly returned?: (deliveries: readonly RawDelivery[]) => void
  /** A message is about to be handed to the owner's code; for the breadcrumb. Called for each: cheap. */
  readonly delivering?: () => void
}

/** A subscription whose messages nobody has opened: for relaying them to a thread or a child. */
export type RawSubscription = Omit<Subscription, typeof Symbol.asyncIterator> & AsyncIterable<RawDelivery>

export interface ScopedBus extends Bus {
  /** As subscribe, with `claim` and `returned`, but yields the deliveries as they came; `delivering` is not told, and a
   *  request among them is answered through HostBus.publishSystem. */
  subscribeRaw(pattern: string, options?: SubscribeOptions): RawSubscription
  /** Resolves when upstream acknowledged or refused every subscription opened here so far; undefined when none
   *  waits, and in a thread or child, whose subscriptions the supervisor holds. */
  readonly acknowledged?: Promise<void> | undefined
  /** One of its open subscriptions covers `topic`. */
  covers(topic: string): boolean
  /** Ends its open iterations; publish and request go on. For a worker whose signal has aborted. */
  closeSubscriptions(): void
  closeAll(): void
  readonly openSubscriptions: number
  /** Of the open subscriptions, in the order they were opened. */
  readonly patterns: readonly string[]
  /** Sum over all subscriptions ever opened here. */
  readonly dropped: number
}

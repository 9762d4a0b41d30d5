// The transport under a scope: the router itself when all subscribers are in this process, or a network with a router
// behind it. `publish` and `reply` return at once, or a promise where a server has to accept the message.

import type { Json } from '../base/json.ts'
import type {
  EnqueueOptions,
  Job,
  OverflowPolicy,
  PublishOptions,
  RawDelivery,
  StreamOptions,
} from './bus.ts'
import type { Packet } from './packet.ts'
import type { PendingRequests } from './requests.ts'
import type { BufferedSubscription } from './subscription.ts'

/** One message lost to an overflow policy. */
export interface Drop {
  /** The owner passed to `scoped`; absent for the supervisor's subscriptions. */
  readonly owner?: string
  readonly pattern: string
  /** The topic of the lost message. */
  readonly topic: string
  readonly overflow: OverflowPolicy
  /** Messages this subscription has lost so far. */
  readonly dropped: number
}

export type PacketSubscription = BufferedSubscription<Packet>

/** Privileges of a publish, and the topic for the reply. */
export interface PublishRights {
  /** Allows `system.>` and reply topics. */
  readonly privileged?: boolean
  readonly replyTo?: string
}

export interface Carrier {
  readonly options: {
    /** Default buffer of a subscription, messages. */
    readonly buffer: number
    readonly onDrop?: ((drop: Drop) => void) | undefined
  }
  readonly requests: PendingRequests
  /** Returns the number of receivers where that is known at once; otherwise a promise that resolves when upstream accepted
   *  the message. Throws and rejects with the errors of Bus.publish. */
  publish(
    topic: string,
    payload: Json,
    options: PublishOptions | undefined,
    rights?: PublishRights,
  ): number | Promise<void>
  reply(packet: Packet, payload: Json): void | Promise<void>
  /** Registers a pattern upstream before its subscription is attached; resolves when upstream acknowledged it. Exactly one
   *  `attach` and one `detach` follow. Absent on a carrier without upstream. */
  register?(pattern: string): Promise<void>
  attach(subscription: PacketSubscription): void
  /** Idempotent. */
  detach(subscription: PacketSubscription): void
  packets(deliveries: readonly RawDelivery[]): Packet[]
  guard(fn: () => unknown): void
  /** Absent on a carrier without durable streams. */
  readonly streams?: StreamSource | undefined
}

/** Durable streams of a bus. */
export interface StreamSource {
  enqueue(stream: string, payload: Json, options: EnqueueOptions | undefined): Promise<string>
  /** @param owner default group
   *  @param handing called before each job is yielded; must be cheap and must not throw
   *  @throws BYRE_ARGUMENT_INVALID, BYRE_BUS_CLOSED */
  open(
    owner: string | undefined,
    stream: string,
    options: StreamOptions | undefined,
    handing: () => void,
  ): JobIteration
}

export interface JobIteration extends AsyncIterable<Job> {
  /** Whether it is closed and has released all its jobs. */
  readonly over: boolean
  /** Yields no more jobs; jobs in progress can still be acked or nacked. */
  end(): void
  /** Releases unfinished jobs to the group. Resolves when that is done. */
  close(): Promise<void>
}

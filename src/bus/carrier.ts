// What a scope stands on: the router itself where all subscribers are in this process, or a network with a router
// behind it. `publish` and `reply` answer at once, or with a promise where somebody else has to accept the message.

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
  /** As given to `scoped`; absent for the supervisor's own subscriptions. */
  readonly owner?: string
  readonly pattern: string
  /** Of the message that was lost. */
  readonly topic: string
  readonly overflow: OverflowPolicy
  /** Lost by this subscription so far. */
  readonly dropped: number
}

export type PacketSubscription = BufferedSubscription<Packet>

/** What `publish` may do beyond a worker, and where a reply is to go. */
export interface PublishRights {
  /** May publish to `system.>` and to reply topics. */
  readonly privileged?: boolean
  readonly replyTo?: string
}

export interface Carrier {
  readonly options: {
    /** Messages a subscription holds unless it says otherwise. */
    readonly buffer: number
    readonly onDrop?: ((drop: Drop) => void) | undefined
  }
  readonly requests: PendingRequests
  /** How many heard it, where that is known at once; else resolves when upstream accepted it, or rejects. Throws and
   *  rejects what Bus.publish rejects with. */
  publish(
    topic: string,
    payload: Json,
    options: PublishOptions | undefined,
    rights?: PublishRights,
  ): number | Promise<void>
  reply(packet: Packet, payload: Json): void | Promise<void>
  /** Announces a subscription before it is attached: resolves when upstream acknowledged the pattern. Exactly one
   *  `attach` and `detach` follow. Absent where attaching is all there is. */
  register?(pattern: string): Promise<void>
  attach(subscription: PacketSubscription): void
  /** Idempotent. */
  detach(subscription: PacketSubscription): void
  packets(deliveries: readonly RawDelivery[]): Packet[]
  guard(fn: () => unknown): void
  /** Where durable streams are. */
  readonly streams?: StreamSource | undefined
}

/** Durable streams behind a bus. */
export interface StreamSource {
  enqueue(stream: string, payload: Json, options: EnqueueOptions | undefined): Promise<string>
  /** @param owner whose group it is unless the options name one
   *  @param handing called before each job is handed out; cheap, must not throw
   *  @throws BYRE_ARGUMENT_INVALID, BYRE_BUS_CLOSED */
  open(
    owner: string | undefined,
    stream: string,
    options: StreamOptions | undefined,
    handing: () => void,
  ): JobIteration
}

export interface JobIteration extends AsyncIterable<Job> {
  /** Nothing of it is left. */
  readonly over: boolean
  /** No more jobs; what was handed out may still be settled. */
  end(): void
  /** What is not settled is given back to the group. Resolves when that is done. */
  close(): Promise<void>
}

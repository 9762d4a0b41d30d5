// What a scope stands on: the router itself where all subscribers are in this process, or a network with a router
// behind it. `publish` and `reply` answer at once, or with a promise where somebody else has to accept the message.

import type { ByreError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { PublishOptions, RawDelivery } from './bus.ts'
import type { Packet } from './packet.ts'
import type { PendingRequests } from './requests.ts'
import type { Drop, PacketSubscription, PublishRights } from './router.ts'

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
  /** The refusal of `enqueue` and `stream`. */
  noStreams(verb: string, name: unknown): ByreError
}

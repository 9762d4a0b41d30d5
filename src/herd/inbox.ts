// The mailbox of one worker with what is said about it: made for the first message that has to wait, since most workers
// never need one.

import type { RawDelivery } from '../bus/bus.ts'
import { covers } from '../bus/topics.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import { Mailbox } from './mailbox.ts'

/** Those of `deliveries` that wake the worker and so wait for its next run; what else it had subscribed to ended with
 *  its subscription. */
export function wakers(
  { activation }: ResolvedWorker,
  deliveries: readonly RawDelivery[],
): readonly RawDelivery[] {
  if (activation.kind === 'eager') return []
  return deliveries.filter(({ topic }) => activation.topics.some((pattern) => covers(pattern, topic)))
}

export interface InboxHost {
  readonly logOf: (worker: string) => Logger
  /** Messages kept for a worker at most. */
  readonly bufferCapacity: number
}

export class Inbox {
  #mailbox: Mailbox | undefined
  /** Holds open on it (hold.ts): what a run leaves unread waits for the next, whatever wakes the worker. */
  holds = 0
  #last: RawDelivery | undefined
  readonly #worker: string
  readonly #host: InboxHost

  constructor(worker: string, host: InboxHost) {
    this.#worker = worker
    this.#host = host
  }

  get size(): number {
    return this.#mailbox?.size ?? 0
  }
  get dropped(): number {
    return this.#mailbox?.dropped ?? 0
  }
  get unclaimed(): number {
    return this.#mailbox?.unclaimed ?? 0
  }

  /** The same delivery twice in a row is one that several taps saw. */
  keep(delivery: RawDelivery): void {
    if (delivery === this.#last) return
    this.#last = delivery
    const mailbox = this.#made()
    if (mailbox.keep(delivery)) return
    this.#host
      .logOf(this.#worker)
      .warn(
        { event: 'mailbox-overflow', dropped: mailbox.dropped },
        'kept messages overflowed: the oldest was dropped',
      )
  }

  claim(covers: (topic: string) => boolean): readonly RawDelivery[] {
    return this.#mailbox?.claim(covers) ?? []
  }

  /** Takes back what a run of `spec` had in hand: what would wake it, or all of it while it is held. */
  giveBack(deliveries: readonly RawDelivery[], spec: ResolvedWorker): void {
    const kept = this.holds > 0 ? deliveries : wakers(spec, deliveries)
    if (kept.length > 0) this.#made().giveBack(kept)
  }

  /** A run is about to begin: what is here now is offered to it. */
  offer(): void {
    this.#mailbox?.offer()
  }

  /** The run ended: what it was offered and never claimed is dropped, counted and told; after a failure all is kept. */
  settle(failed: boolean): void {
    const count = this.#mailbox?.settle(failed) ?? 0
    if (count > 0)
      this.#host
        .logOf(this.#worker)
        .warn(
          { event: 'unclaimed', count },
          'kept messages that no subscription of the run covered were dropped',
        )
  }

  #made(): Mailbox {
    this.#mailbox ??= new Mailbox(this.#host.bufferCapacity)
    return this.#mailbox
  }
}

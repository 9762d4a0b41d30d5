// The mailbox of one worker and the log lines about it. The mailbox is created with the first message that has to wait: most
// workers never need one.

import type { RawDelivery } from '../bus/bus.ts'
import { covers } from '../bus/topics.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import { Mailbox } from './mailbox.ts'

/** The deliveries that wake the worker, and so wait for its next run. Its other subscriptions ended with the run. */
export function wakers(
  { activation }: ResolvedWorker,
  deliveries: readonly RawDelivery[],
): readonly RawDelivery[] {
  if (activation.kind === 'eager') return []
  return deliveries.filter(({ topic }) => activation.topics.some((pattern) => covers(pattern, topic)))
}

export interface InboxHost {
  readonly logOf: (worker: string) => Logger
  /** Maximum number of messages kept for a worker. */
  readonly bufferCapacity: number
}

export class Inbox {
  #mailbox: Mailbox | undefined
  /** Open holds (message-hold.ts): while there is one, all messages that a run leaves unread are kept for the next run. */
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

  /** The same delivery twice in a row was seen by several taps. */
  keep(delivery: RawDelivery): void {
    if (delivery === this.#last) return
    this.#last = delivery
    const mailbox = this.#made()
    if (mailbox.keep(delivery)) return
    this.#host
      .logOf(this.#worker)
      .warn(
        { event: 'mailbox-overflow', dropped: mailbox.dropped },
        'the mailbox is full: the oldest message was dropped',
      )
  }

  claim(covers: (topic: string) => boolean): readonly RawDelivery[] {
    return this.#mailbox?.claim(covers) ?? []
  }

  /** Keeps unread messages of a run of `spec` for its next run: those that wake it, or all during a hold. */
  giveBack(deliveries: readonly RawDelivery[], spec: ResolvedWorker): void {
    const kept = this.holds > 0 ? deliveries : wakers(spec, deliveries)
    if (kept.length > 0) this.#made().giveBack(kept)
  }

  /** Called when a run is about to begin: the messages kept so far are offered to it. */
  offer(): void {
    this.#mailbox?.offer()
  }

  /** Called when the run has ended: messages that were offered and not claimed are dropped, counted and logged; after a failure all are kept. */
  endRun(failed: boolean): void {
    const count = this.#mailbox?.endRun(failed) ?? 0
    if (count > 0)
      this.#host
        .logOf(this.#worker)
        .warn(
          { event: 'unclaimed', count },
          'kept messages were dropped: no subscription of the run covered them',
        )
  }

  #made(): Mailbox {
    this.#mailbox ??= new Mailbox(this.#host.bufferCapacity)
    return this.#mailbox
  }
}

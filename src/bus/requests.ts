// Requests that wait for their first reply: one timer each, so none when nothing is pending.

import { parse } from '../base/json.ts'
import type { Clock } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { ByreError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import { INBOX } from '../base/topics.ts'
import { onAbort } from './abort.ts'

/** Most requests one owner may have waiting at a time; more are refused with BYRE_BUS_OVERFLOW. */
export const MAX_PENDING = 10_000

export interface RequestPlan {
  readonly topic: string
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  /** Publishes with this reply topic. How many heard it; undefined where that cannot be known. May throw. */
  readonly send: (replyTo: string) => number | undefined
}

interface Waiting {
  readonly owner: object
  readonly topic: string
  resolve(payload: Json): void
  reject(reason: unknown): void
}

/** The waiting requests of one bus, by the topic their reply goes to. */
export class PendingRequests {
  /** Called when nobody waits on `replyTo` any more though no reply came. Cheap, must not throw. */
  onGivenUp: ((replyTo: string) => void) | undefined
  readonly #clock: Clock
  readonly #prefix: string
  readonly #waiting = new Map<string, Waiting>()
  readonly #countByOwner = new Map<object, number>()
  #last = 0

  /** `prefix` makes reply topics differ from those of other buses; one topic token. */
  constructor(clock: Clock, prefix: string) {
    this.#clock = clock
    this.#prefix = prefix
  }

  get size(): number {
    return this.#waiting.size
  }

  /**
   * Sends, then waits for `settle` on the reply topic. Rejects BYRE_BUS_REQUEST_TIMEOUT after the timeout, with the
   * signal's reason on abort, with what `send` throws, with what `rejectAll` makes, and BYRE_BUS_OVERFLOW beyond
   * MAX_PENDING.
   */
  open(owner: object, plan: RequestPlan): Promise<Json> {
    const { topic, timeoutMs, signal } = plan
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    const count = this.#countByOwner.get(owner) ?? 0
    if (count >= MAX_PENDING) return Promise.reject(tooMany(topic))
    this.#countByOwner.set(owner, count + 1)
    return new Promise((resolve, reject) => {
      const replyTo = `${this.inbox}.${this.#prefix}-r${++this.#last}`
      let heard: number | undefined
      const fail = (reason: unknown): void => {
        release()
        this.onGivenUp?.(replyTo)
        reject(reason)
      }
      const timer = this.#clock.setTimer(timeoutMs, () => fail(timedOut(topic, timeoutMs, heard)))
      const unlisten = signal === undefined ? undefined : onAbort(signal, () => fail(signal.reason))
      const release = (): void => {
        timer.cancel()
        unlisten?.()
        this.#forget(replyTo, owner)
      }
      const succeed = (payload: Json): void => {
        release()
        resolve(payload)
      }
      this.#waiting.set(replyTo, { owner, topic, resolve: succeed, reject: fail })
      try {
        heard = plan.send(replyTo)
      } catch (error) {
        fail(error)
      }
    })
  }

  /** Gives the reply in `body` (JSON text) to whoever waits on `replyTo`: nobody does after the first, or too late. */
  settle(replyTo: string, body: string): void {
    this.#waiting.get(replyTo)?.resolve(parse(body) as Json)
  }

  /** As settle, with a payload that is nobody else's. */
  settleWith(replyTo: string, payload: Json): void {
    this.#waiting.get(replyTo)?.resolve(payload)
  }

  /** Rejects what waits on `replyTo`: its request could not be sent. */
  fail(replyTo: string, reason: unknown): void {
    this.#waiting.get(replyTo)?.reject(reason)
  }

  /** Topics replies come to begin with it: `_inbox.<prefix>.<prefix>-r<n>`; the last token is the request's id on a network. */
  get inbox(): string {
    return `${INBOX}.${this.#prefix}`
  }

  /** Rejects all that `owner` waits for with what `reason` makes of each topic. */
  rejectAll(owner: object, reason: (topic: string) => ByreError): void {
    if (!this.#countByOwner.has(owner)) return
    for (const waiting of this.#waiting.values())
      if (waiting.owner === owner) waiting.reject(reason(waiting.topic))
  }

  #forget(replyTo: string, owner: object): void {
    if (!this.#waiting.delete(replyTo)) return
    const count = this.#countByOwner.get(owner) ?? 0
    if (count > 1) this.#countByOwner.set(owner, count - 1)
    else this.#countByOwner.delete(owner)
  }
}

function tooMany(topic: string): ByreError {
  return new ByreError(
    'BYRE_BUS_OVERFLOW',
    `Cannot request '${topic}': at most ${MAX_PENDING} requests of one worker may wait for a reply. Await replies before sending more, or use a shorter timeout.`,
    { details: { topic, limit: MAX_PENDING } },
  )
}

function timedOut(topic: string, timeoutMs: number, heard: number | undefined): ByreError {
  const fact = heard === 0 ? ' Nobody was subscribed to it.' : ''
  return new ByreError(
    'BYRE_BUS_REQUEST_TIMEOUT',
    `Cannot request '${topic}': no reply came within ${formatDurationMs(timeoutMs)}.${fact} Check that a worker subscribes and replies, or raise 'timeout'.`,
    { details: { topic, timeoutMs, ...(heard === undefined ? {} : { heard }) } },
  )
}

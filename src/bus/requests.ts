// The pending requests of a bus. Each has one timer for its timeout; an idle bus has none.

import { parse } from '../base/json.ts'
import type { Clock } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { ByreError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import { INBOX } from '../base/topics.ts'
import { onAbort } from './abort.ts'

/** Maximum number of pending requests of one owner; more are refused with BYRE_BUS_OVERFLOW. */
export const MAX_PENDING = 10_000

export interface RequestPlan {
  readonly topic: string
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  /** Publishes the request with this reply topic. Returns the number of receivers, or undefined where it is unknown. May
   *  throw. */
  readonly send: (replyTo: string) => number | undefined
}

interface Pending {
  readonly owner: object
  readonly topic: string
  resolve(payload: Json): void
  reject(reason: unknown): void
}

/** The pending requests of one bus, by reply topic. */
export class PendingRequests {
  /** Called when a request ends without a reply. Must be cheap and must not throw. */
  onGivenUp: ((replyTo: string) => void) | undefined
  readonly #clock: Clock
  readonly #prefix: string
  readonly #pending = new Map<string, Pending>()
  readonly #countByOwner = new Map<object, number>()
  #last = 0

  /** @param prefix one topic token that makes reply topics unique to this bus */
  constructor(clock: Clock, prefix: string) {
    this.#clock = clock
    this.#prefix = prefix
  }

  get size(): number {
    return this.#pending.size
  }

  /**
   * Sends a request and resolves with the payload passed to `resolve`. Rejects BYRE_BUS_REQUEST_TIMEOUT after the timeout,
   * with the signal's reason on abort, with the error of `send` or `rejectAll`, and BYRE_BUS_OVERFLOW beyond MAX_PENDING.
   */
  open(owner: object, plan: RequestPlan): Promise<Json> {
    const { topic, timeoutMs, signal } = plan
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    const count = this.#countByOwner.get(owner) ?? 0
    if (count >= MAX_PENDING) return Promise.reject(tooMany(topic))
    this.#countByOwner.set(owner, count + 1)
    return new Promise((resolve, reject) => {
      const replyTo = `${this.inbox}.${this.#prefix}-r${++this.#last}`
      let receivers: number | undefined
      const fail = (reason: unknown): void => {
        release()
        this.onGivenUp?.(replyTo)
        reject(reason)
      }
      const timer = this.#clock.setTimer(timeoutMs, () => fail(timedOut(topic, timeoutMs, receivers)))
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
      this.#pending.set(replyTo, { owner, topic, resolve: succeed, reject: fail })
      try {
        receivers = plan.send(replyTo)
      } catch (error) {
        fail(error)
      }
    })
  }

  /** Resolves the request that awaits a reply on `replyTo` with the JSON text `body`. Ignored when none is pending: after
   *  the first reply, or too late. */
  resolve(replyTo: string, body: string): void {
    this.#pending.get(replyTo)?.resolve(parse(body) as Json)
  }

  /** Like `resolve`, with a parsed payload that the requester may keep without copying. */
  resolveParsed(replyTo: string, payload: Json): void {
    this.#pending.get(replyTo)?.resolve(payload)
  }

  /** Rejects the request that awaits a reply on `replyTo`: it could not be sent. */
  fail(replyTo: string, reason: unknown): void {
    this.#pending.get(replyTo)?.reject(reason)
  }

  /** Prefix of the reply topics `_inbox.<prefix>.<prefix>-r<n>`; on a network the last token is the request's id. */
  get inbox(): string {
    return `${INBOX}.${this.#prefix}`
  }

  /** Rejects all pending requests of `owner` with the error that `reason` returns for each topic. */
  rejectAll(owner: object, reason: (topic: string) => ByreError): void {
    if (!this.#countByOwner.has(owner)) return
    for (const pending of this.#pending.values())
      if (pending.owner === owner) pending.reject(reason(pending.topic))
  }

  #forget(replyTo: string, owner: object): void {
    if (!this.#pending.delete(replyTo)) return
    const count = this.#countByOwner.get(owner) ?? 0
    if (count > 1) this.#countByOwner.set(owner, count - 1)
    else this.#countByOwner.delete(owner)
  }
}

function tooMany(topic: string): ByreError {
  return new ByreError(
    'BYRE_BUS_OVERFLOW',
    `Cannot request '${topic}': ${MAX_PENDING} requests of this worker are pending, the most allowed. Await replies before sending more, or use a shorter timeout.`,
    { details: { topic, limit: MAX_PENDING } },
  )
}

function timedOut(topic: string, timeoutMs: number, receivers: number | undefined): ByreError {
  const fact = receivers === 0 ? ' The topic had no subscribers.' : ''
  return new ByreError(
    'BYRE_BUS_REQUEST_TIMEOUT',
    `Cannot request '${topic}': no reply within ${formatDurationMs(timeoutMs)}.${fact} Check that a worker subscribes and replies, or raise 'timeout'.`,
    { details: { topic, timeoutMs, ...(receivers === undefined ? {} : { receivers }) } },
  )
}

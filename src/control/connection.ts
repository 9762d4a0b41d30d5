// One client connection: the deadline of what it does, and how the control surfaces refuse. A timer exists only while a client
// is expected to act: to send its request, or to read its answer.

import type { Socket } from 'node:net'
import type { Clock, Timer } from '../base/clock.ts'
import type { ErrorCode } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'

/**
 * request: the client sends. work: byre prepares the answer. answer: the client reads it. events: a stream, without a deadline.
 * linger: answered before the whole request was read. Closing now would lose the answer, because the client's write would fail
 * first; so further input is discarded until the client closes, for at most a second.
 */
export type Phase = 'request' | 'work' | 'answer' | 'events' | 'linger'

export interface Connection {
  readonly phase: Phase
  enter(phase: Phase): void
}

/** Limit for the request, from connect to the last byte of the body; and again for reading the answer. */
export const PHASE_TIMEOUT_MS = 5000
const LINGER_MS = 1000

/** Guards `socket` from now on, in phase 'request'. A client that misses its deadline is counted as 'too-slow' and destroyed. */
export function guardConnection(socket: Socket, clock: Clock, refusals: Refusals): Connection {
  let phase: Phase = 'request'
  let timer: Timer | undefined
  const onDeadline = (): void => {
    if (phase !== 'linger') refusals.note('too-slow', { phase, timeoutMs: PHASE_TIMEOUT_MS })
    socket.destroy()
  }
  const arm = (): void => {
    timer?.cancel()
    timer = undefined
    if (phase === 'work' || phase === 'events' || socket.destroyed) return
    timer = clock.setTimer(phase === 'linger' ? LINGER_MS : PHASE_TIMEOUT_MS, onDeadline, { unref: true })
  }
  socket.once('close', () => timer?.cancel())
  arm()
  return {
    get phase() {
      return phase
    },
    enter(next) {
      phase = next
      arm()
    },
  }
}

export type RefusalKind =
  | 'bad-message' // 400: not a control message
  | 'body-too-large'
  | 'foreign-host'
  | 'not-found' // 404: no such route or worker
  | 'not-http'
  | 'not-signed' // over the bus: unsigned, wrong signature, stale or replayed
  | 'refused-by-state' // 409
  | 'sse-behind'
  | 'too-busy' // 429 by the target: rate limit
  | 'too-many-connections'
  | 'too-many-event-streams'
  | 'too-slow'
  | 'wrong-method'

/** Counts refusals and logs the first of each kind: a client that sends garbage in a loop must not fill the log, and must not
 *  stay unnoticed either. The list of kinds is closed, so the counts are bounded. */
export interface Refusals {
  /** Logs the first of its kind with `fields`; counts the others. */
  note(kind: RefusalKind, fields?: Readonly<Record<string, unknown>>): void
  /** Counts so far; kinds that did not occur are absent. */
  counts(): Readonly<Partial<Record<RefusalKind, number>>>
  /** Logs one line with the counts of the kinds that occurred more than once. */
  summarize(): void
}

export function countRefusals(log: Logger): Refusals {
  const counts = new Map<RefusalKind, number>()
  return {
    note(kind, fields = {}) {
      const count = (counts.get(kind) ?? 0) + 1
      counts.set(kind, count)
      if (count === 1)
        log.warn({ kind, ...fields }, `control: request refused (${kind}); further ones are only counted`)
    },
    counts: () => Object.fromEntries(counts),
    summarize() {
      const folded = Object.fromEntries([...counts].filter(([, count]) => count > 1))
      if (Object.keys(folded).length > 0) log.warn({ refused: folded }, 'control: refused requests by kind')
    },
  }
}

/** A complete HTTP answer as text, for a client that is refused before or outside of node:http's parser. The connection ends
 *  with it. */
export function plainAnswer(status: string, text: string, type = 'application/json'): string {
  const head = [
    `HTTP/1.1 ${status}`,
    `content-type: ${type}`,
    `content-length: ${Buffer.byteLength(text)}`,
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${text}`
}

/** `status` is code and phrase ('429 Too Many Requests'); `fact` completes "Cannot answer the request: ...". */
export function plainRefusal(status: string, code: ErrorCode, fact: string): string {
  const error = { code, message: `Cannot answer the request: ${fact}.` }
  return plainAnswer(status, `${JSON.stringify({ v: 1, id: '', ok: false, error })}\n`)
}

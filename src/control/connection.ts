// One client of the control socket and the deadline of what it is doing. A timer exists only while a client is
// expected to do something: send its request, or take its answer.

import type { Socket } from 'node:net'
import type { Clock, Timer } from '../base/clock.ts'
import type { Refusals } from './refusals.ts'

/**
 * request: the client sends. work: byre makes the answer. answer: the client takes it. events: a stream, no deadline.
 * linger: answered before the request was read to its end; closing now would take the answer from a client that is
 * still writing (its write fails first), so what it still sends is thrown away until it closes, for a second.
 */
export type Phase = 'request' | 'work' | 'answer' | 'events' | 'linger'

export interface Connection {
  readonly phase: Phase
  enter(phase: Phase): void
}

/** For the request, from connect to the last byte of the body; and again for the client to take the answer. */
export const PHASE_TIMEOUT_MS = 5000
const LINGER_MS = 1000

/** Guards `socket` from now, in phase 'request'; a client over its deadline is counted as 'too-slow' and destroyed. */
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

// Two requests that a run in a thread or process sends to its child and that the child answers later: whether it is idle,
// and a profile of its loop.

import type { Clock, Timer } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import type { Deferred } from '../base/deferred.ts'
import { ByreError } from '../base/errors.ts'
import type { ProfileReport } from '../herd/status.ts'
import type { Link } from './wire/link.ts'
import { line, unpackError } from './wire/protocol.ts'
import type { ChildProfileRequest } from './wire/protocol.ts'

export interface IdleWatchOptions {
  readonly clock: Clock
  readonly afterMs: number
  /** When a message last crossed the wire, monotonic ms; Infinity while one is in flight. */
  readonly activeAt: () => number
  readonly ask: () => void
  readonly onIdle: () => void
}

/** Even when memory is short, a worker that was active within this time is not queried. */
const QUIET_MS = 1000

export interface IdleWatch {
  /** Takes the child's answer. */
  answered(idle: boolean): void
  /** Called when memory is short: queries the child at once, unless the worker was active within the last second. */
  askNow(): void
  close(): void
}

/**
 * Puts a worker in a thread or process to sleep: when no message has crossed the wire for `afterMs`, the child is queried.
 * It reports itself idle only if every consumer waits for its next message.
 */
export function startIdleWatch({ clock, afterMs, activeAt, ask, onIdle }: IdleWatchOptions): IdleWatch {
  let timer: Timer | undefined
  let askedAt = 0
  const arm = (delayMs: number): void => {
    timer?.cancel()
    timer = clock.setTimer(delayMs, check, { unref: true })
  }
  const askIt = (): void => {
    askedAt = clock.monotonic()
    ask()
  }
  const check = (): void => {
    const leftMs = activeAt() + afterMs - clock.monotonic()
    if (leftMs > 0) {
      arm(Math.min(Math.ceil(leftMs), afterMs))
      return
    }
    askIt()
  }
  arm(afterMs)
  return {
    answered(idle) {
      if (idle && activeAt() <= askedAt) onIdle()
      else arm(afterMs) // busy with work that does not show on the wire
    },
    askNow() {
      const quietMs = Math.min(afterMs, QUIET_MS)
      if (activeAt() + quietMs <= clock.monotonic()) askIt()
    },
    close: () => timer?.cancel(),
  }
}

/** Timeout of the answer beyond the profile's window; a blocked loop does not answer. */
const ANSWER_MS = 10_000

/** Profiles of one child: the child profiles its own loop and writes the file. There is one at a time, which the control
 *  route ensures. */
export class ProfileRequests {
  #waiting: Deferred<ProfileReport> | undefined
  /** Number of the pending request, so that a late answer to an earlier one is ignored. */
  #number = 0

  async take(link: Link, worker: string, request: ChildProfileRequest, clock: Clock): Promise<ProfileReport> {
    const waiting = deferred<ProfileReport>()
    this.#waiting = waiting
    const timer = clock.setTimer(request.windowMs + ANSWER_MS, () => waiting.reject(noAnswer(worker)))
    link.send(line('profile', request, ++this.#number))
    link.flush()
    try {
      return await waiting.promise
    } finally {
      timer.cancel()
      this.#waiting = undefined
    }
  }

  answered(number: unknown, report: unknown, error: unknown): void {
    if (number !== this.#number) return
    if (error === undefined || error === null) this.#waiting?.resolve(report as ProfileReport)
    else this.#waiting?.reject(unpackError(error))
  }

  /** The run has ended. */
  close(worker: string): void {
    this.#waiting?.reject(
      new ByreError(
        'BYRE_CONTROL_REFUSED',
        `Cannot profile '${worker}': its run ended during the profile. Profile it again once it runs.`,
      ),
    )
  }
}

function noAnswer(worker: string): ByreError {
  return new ByreError(
    'BYRE_CONTROL_REFUSED',
    `Cannot profile '${worker}': it did not answer within ${ANSWER_MS / 1000} s after the window, so its loop is blocked. The log names stalls.`,
  )
}

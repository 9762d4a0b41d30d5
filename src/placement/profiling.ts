// A profile of what lives in a thread or a process of its own: the guest takes it, of its own loop, and writes the file;
// the host waits for the report.

import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import type { Deferred } from '../base/deferred.ts'
import { ByreError } from '../base/errors.ts'
import type { ProfileReport, ProfileRequest, ProfileSource } from '../herd/status.ts'
import type { Link } from './wire/link.ts'
import { line, unpackError } from './wire/protocol.ts'

/** What the guest is told besides the request. */
export type ChildProfileRequest = ProfileRequest & Pick<ProfileSource, 'folder' | 'label'>

/** Beside its window; a loop that is held answers no question. */
const ANSWER_MS = 10_000

/** One at a time: the control route sees to that. */
export class Profiling {
  #waiting: Deferred<ProfileReport> | undefined
  /** Of the question that waits: an answer that comes after its time is to one before it. */
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

  /** Its run is over. */
  close(worker: string): void {
    this.#waiting?.reject(
      new ByreError('BYRE_CONTROL_REFUSED', `Cannot profile '${worker}': its run has ended meanwhile.`),
    )
  }
}

function noAnswer(worker: string): ByreError {
  return new ByreError(
    'BYRE_CONTROL_REFUSED',
    `Cannot profile '${worker}': it has not answered for ${ANSWER_MS / 1000} s beyond the window, so its loop is held. The log names stalls.`,
  )
}

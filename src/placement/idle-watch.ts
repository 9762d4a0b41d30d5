// Puts a thread or process that has nothing to do to sleep: when no message has crossed for its sleepAfter, it is asked,
// and only a guest whose every consumer waits for its next message says yes.

import type { Clock, Timer } from '../base/clock.ts'

export interface IdleWatchOptions {
  readonly clock: Clock
  readonly afterMs: number
  /** When something last happened, monotonic ms; Infinity while something is under way. */
  readonly activeAt: () => number
  readonly ask: () => void
  readonly onIdle: () => void
}

/** Who did something a moment ago is left alone even then. */
const QUIET_MS = 1000

export interface IdleWatch {
  /** The guest's answer. */
  answered(idle: boolean): void
  /** Memory is short: asks at once, if nothing has happened for a while. */
  askNow(): void
  close(): void
}

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
      else arm(afterMs) // busy with something that does not show on the wire
    },
    askNow() {
      const quietMs = Math.min(afterMs, QUIET_MS)
      if (activeAt() + quietMs <= clock.monotonic()) askIt()
    },
    close: () => timer?.cancel(),
  }
}

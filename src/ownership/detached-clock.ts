// The clock of the supervisor itself: its timers belong to nobody, whoever's code armed them.

import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { runInScope } from './run-scope.ts'

/** Timers armed from a worker's callback must not carry its async context into byre's own. */
export function detached(clock: Clock): Clock {
  return {
    ...clock,
    setTimer: (delayMs, fn, timerOptions) =>
      runInScope(undefined, () => clock.setTimer(delayMs, fn, timerOptions)),
  }
}

/** Waits for `work`, at most `ms`. */
export async function withinMs(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const late = deferred()
  const timer = clock.setTimer(ms, late.resolve)
  await Promise.race([work, late.promise])
  timer.cancel()
}

// The supervisor's clock: its timers run outside every worker's context, even when a worker's callback starts them.

import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { runInScope } from './run-scope.ts'

/** A timer that is started in a worker's callback must not carry that worker's async context into byre's code. */
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

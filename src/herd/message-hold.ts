// Keeps the messages of a worker between two of its runs: during a move, and during a sleep from which they wake it.

import type { Timer } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { HostBus } from '../bus/bus.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { Runner } from './runner.ts'

/** Added to the time that a stop and a start may take. */
const MARGIN_MS = 1000

/**
 * Keeps the messages of all current subscriptions of `runner` in its mailbox whenever no open subscription covers them, until
 * its next run covers all of them again, at most for the time that a stop and a start may take.
 */
export function holdMessages(runner: Runner, bus: HostBus, scheduler: Scheduler): void {
  const { run, patterns } = runner.listening
  if (patterns.length === 0) return
  runner.inbox.holds++
  let timer: Timer | undefined
  const release = (): void => {
    timer?.cancel()
    if (runner.inbox.holds > 0) runner.inbox.holds--
    for (const untap of taps) untap()
  }
  const taps = patterns.map((pattern) =>
    bus.tap(pattern, (delivery) =>
      runInScope(undefined, () => {
        const now = runner.listening
        // The old run may still cover all patterns: only a later run ends the hold.
        if (now.run !== run && patterns.every((held) => now.patterns.includes(held))) release()
        runner.deliver(delivery)
      }),
    ),
  )
  const { stopTimeoutMs, startTimeoutMs } = runner.spec
  timer = scheduler.after(stopTimeoutMs + startTimeoutMs + MARGIN_MS, release)
}

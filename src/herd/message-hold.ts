// Keeps the messages of a worker between two of its runs: for a move, and for a sleep from which they wake it.

import type { Timer } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { HostBus } from '../bus/bus.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { Runner } from './runner.ts'

/** Beyond the time its stop and start may take. */
const MARGIN_MS = 1000

/**
 * Delivers what `runner` is subscribed to now to its mailbox whenever none of its subscriptions takes it: from here
 * until its next run covers all of it again, at most as long as a stop and a start may take.
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
        // The old run may still cover it all: only a later one ends the hold.
        if (now.run !== run && patterns.every((held) => now.patterns.includes(held))) release()
        runner.deliver(delivery)
      }),
    ),
  )
  const { stopTimeoutMs, startTimeoutMs } = runner.spec
  timer = scheduler.after(stopTimeoutMs + startTimeoutMs + MARGIN_MS, release)
}

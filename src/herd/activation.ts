// Wakes lazy workers: byre subscribes to their topics and runs their periods and cron schedules on their behalf.

import type { Clock, Random, Timer } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { HostBus } from '../bus/bus.ts'
import { slackMs, startPeriod } from '../worker/every.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { Runner } from './runner.ts'

const SYSTEM = 'system.'
/** While a date is awaited the wall clock is checked this often: a timer does not notice a clock change or a suspend. */
const LOOK_MS = 60_000
/** A check may run this much earlier, so that the checks of all workers share one wake-up. */
const LOOK_SLACK_MS = 15_000

export interface ActivationDeps {
  readonly bus: HostBus
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly random: Random
}

/** Arms the activation of a lazy worker; returns a function that disarms it. croner is loaded only for a cron schedule. */
export async function armActivation(runner: Runner, deps: ActivationDeps): Promise<() => void> {
  const { activation } = runner.spec
  if (activation.kind === 'eager') return () => {}
  const releases = activation.topics.map((pattern) => {
    const asked = pattern.startsWith(SYSTEM)
    return deps.bus.tap(pattern, (delivery) => {
      // `>` does not match byre's own events: the event that a worker went to sleep would wake it again.
      if (!asked && delivery.topic.startsWith(SYSTEM)) return
      // The tap is called in the publisher's context; the woken worker must not inherit it.
      runInScope(undefined, () => runner.deliver(delivery))
    })
  })
  for (const stream of activation.streams) releases.push(watchStream(runner, stream, deps))
  if (activation.everyMs !== undefined) {
    releases.push(
      startPeriod(
        activation.everyMs,
        {},
        {
          scheduler: deps.scheduler,
          monotonic: deps.clock.monotonic,
          random: deps.random,
          tick: async () => runner.tick(),
          onSkipped: (count) => void (runner.record.ticksSkipped += count),
        },
      ),
    )
  }
  if (activation.cron !== undefined) releases.push(await startCron(runner, activation.cron, deps))
  return () => {
    for (const release of releases) release()
  }
}

/** The jobs stay in the stream: a wake only reports that there are jobs, once for the same jobs. */
function watchStream(runner: Runner, stream: string, deps: ActivationDeps): () => void {
  const watch = deps.bus.watchStream?.(stream, runner.name, () => {
    runInScope(undefined, () => {
      if (runner.state.kind !== 'dormant' || runner.pending) return
      runner.start({ by: 'stream', at: deps.clock.now() })
      // jobs that it leaves, or that arrive while it ends, wake it again
      void runner.whenDown().then(() => watch?.check())
    })
  })
  return () => watch?.release()
}

async function startCron(
  runner: Runner,
  cron: { readonly expression: string; readonly timezone: string },
  deps: ActivationDeps,
): Promise<() => void> {
  const { Cron } = await import('croner')
  // Paused: croner computes the dates, the scheduler of the herd waits for them.
  const schedule = new Cron(cron.expression, { timezone: cron.timezone, paused: true })
  let timer: Timer | undefined
  const arm = (from: number): void => {
    const next = schedule.nextRun(new Date(from))
    if (next !== null) awaitDate(next.getTime()) // null: the last date of the expression has passed
  }
  const awaitDate = (dueAt: number): void => {
    const leftMs = dueAt - deps.clock.now()
    const fire = (): void => look(dueAt)
    timer =
      leftMs > LOOK_MS
        ? deps.scheduler.after(LOOK_MS - LOOK_SLACK_MS, fire, LOOK_SLACK_MS)
        : deps.scheduler.after(leftMs, fire, slackMs(1000))
  }
  const look = (dueAt: number): void => {
    const now = deps.clock.now()
    if (now < dueAt) {
      awaitDate(dueAt) // also after the wall clock was set back: the date counts, not the interval
      return
    }
    runner.tick()
    arm(now) // several missed dates coalesce to this one tick
  }
  arm(deps.clock.now())
  return () => {
    timer?.cancel()
    schedule.stop()
  }
}

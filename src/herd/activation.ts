// Wakes lazy workers: byre subscribes to their topics and keeps their periods and crons on their behalf.

import type { Clock, Random, Timer } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { HostBus } from '../bus/bus.ts'
import { slackMs, startPeriod } from '../worker/every.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { Runner } from './runner.ts'

const SYSTEM = 'system.'
/** The wall clock is looked at this often while a date is awaited: timers do not hear of it being set, nor of a suspend. */
const LOOK_MS = 60_000
/** Looks may come this much earlier, so that those of all workers share one wake-up. */
const LOOK_SLACK_MS = 15_000

export interface ActivationDeps {
  readonly bus: HostBus
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly random: Random
}

/** Arms the activation of a lazy worker; returns its release. croner is loaded only for a cron. */
export async function armActivation(runner: Runner, deps: ActivationDeps): Promise<() => void> {
  const { activation } = runner.spec
  if (activation.kind === 'eager') return () => {}
  const releases = activation.topics.map((pattern) => {
    const asked = pattern.startsWith(SYSTEM)
    return deps.bus.tap(pattern, (delivery) => {
      // `>` does not mean byre's own events: a worker would be woken by the news that it fell asleep.
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

/** The jobs stay in the stream: a wake says only that there are some, and is not given twice for the same ones. */
function watchStream(runner: Runner, stream: string, deps: ActivationDeps): () => void {
  const watch = deps.bus.watchStream?.(stream, runner.name, () => {
    runInScope(undefined, () => {
      if (runner.state.kind !== 'dormant' || runner.pending) return
      runner.start({ by: 'stream', at: deps.clock.now() })
      // what it leaves, or what came while it ended, wakes it again
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
  // Paused: croner computes the times, the herd's one scheduler keeps them.
  const schedule = new Cron(cron.expression, { timezone: cron.timezone, paused: true })
  let timer: Timer | undefined
  const arm = (from: number): void => {
    const next = schedule.nextRun(new Date(from))
    if (next !== null) awaitDate(next.getTime()) // null: an expression whose last date has passed
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
      awaitDate(dueAt) // also when the wall clock was set back: it is the date that counts, not the interval
      return
    }
    runner.tick()
    arm(now) // several dates missed at once coalesce to this one tick
  }
  arm(deps.clock.now())
  return () => {
    timer?.cancel()
    schedule.stop()
  }
}

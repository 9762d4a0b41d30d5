// What the herd tells on the bus, to those who listen only: `system.<worker>.event` for each transition, and its one
// heartbeat, `system.<worker>.health` every 10 s from a single timer.

import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { HostBus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'
import type { Runner } from '../herd/runner.ts'
import type { TransitionEvent } from '../herd/status.ts'

const HEALTH_MS = 10_000
/** A beat may wait this long to share a wake-up with something else. */
const HEALTH_SLACK_MS = 500

export interface HealthOptions {
  readonly bus: HostBus
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly runners: () => Iterable<Runner>
  readonly onError: (error: unknown) => void
}

/** Starts the beats; returns their release. */
export function startHealth(deps: HealthOptions): () => void {
  let timer = deps.scheduler.after(HEALTH_MS, beat, HEALTH_SLACK_MS)
  function beat(): void {
    for (const runner of deps.runners()) {
      const topic = `system.${runner.name}.health`
      if (!deps.bus.hasSubscribers(topic)) continue
      const payload = {
        v: 1,
        ts: deps.clock.now(),
        worker: runner.name,
        state: runner.state.kind,
        pid: process.pid,
      }
      deps.bus.publishSystem(topic, payload).catch(deps.onError)
    }
    timer = deps.scheduler.after(HEALTH_MS, beat, HEALTH_SLACK_MS)
  }
  return () => timer.cancel()
}

/** Tells one transition to those who listen. */
export function publishTransition(bus: HostBus, log: Logger, event: TransitionEvent): void {
  const topic = `system.${event.worker}.event`
  if (!bus.hasSubscribers(topic)) return
  bus.publishSystem(topic, { ...event }).catch((error: unknown) => {
    log.warn(
      { event: 'event-not-published', worker: event.worker, ...describeThrown(error) },
      'transition event not published',
    )
  })
}

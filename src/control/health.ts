// The messages that the herd publishes on the bus when there are subscribers: `system.<worker>.event` for each transition, and
// `system.<worker>.health` every 10 s from a single timer.

import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { HostBus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'
import type { Runner } from '../herd/runner.ts'
import type { TransitionEvent } from '../herd/status.ts'

const HEALTH_MS = 10_000
/** A health message may be this late, to share a wake-up. */
const HEALTH_SLACK_MS = 500

export interface HealthOptions {
  readonly bus: HostBus
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly runners: () => Iterable<Runner>
  readonly onError: (error: unknown) => void
}

/** Starts the health messages. Returns a function that stops them. */
export function startHealth({ bus, clock, scheduler, runners, onError }: HealthOptions): () => void {
  let timer = scheduler.after(HEALTH_MS, publish, HEALTH_SLACK_MS)
  function publish(): void {
    for (const runner of runners()) {
      const topic = `system.${runner.name}.health`
      if (!bus.hasSubscribers(topic)) continue
      const payload = {
        v: 1,
        ts: clock.now(),
        worker: runner.name,
        state: runner.state.kind,
        pid: process.pid,
      }
      bus.publishSystem(topic, payload).catch(onError)
    }
    timer = scheduler.after(HEALTH_MS, publish, HEALTH_SLACK_MS)
  }
  return () => timer.cancel()
}

/** Publishes one transition if its topic has subscribers. */
export function publishTransition(bus: HostBus, log: Logger, event: TransitionEvent): void {
  const topic = `system.${event.worker}.event`
  if (!bus.hasSubscribers(topic)) return
  bus.publishSystem(topic, { ...event }).catch((error: unknown) => {
    log.warn(
      { event: 'event-not-published', worker: event.worker, ...describeThrown(error) },
      'a transition event could not be published',
    )
  })
}

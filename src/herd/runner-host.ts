// The services of a herd that its runners use; one object for all runners.

import type { Clock, Random } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { ScopedBus } from '../bus/bus.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { Admission } from './admission.ts'
import type { Leasing } from './leasing.ts'
import type { Placement } from './placement.ts'
import type { Assignments } from './assignments.ts'
import type { Inbox } from './inbox.ts'
import type { TransitionEvent } from './status.ts'

/** The worker that a bus belongs to: its kept messages are claimed from the inbox and returned to it. */
export interface BusOwner {
  readonly name: string
  readonly spec: ResolvedWorker
  readonly inbox: Inbox
}

/** A worker whose start waits for its gate. */
export interface Waiting {
  /** Starts the worker if its gate is open. */
  retryPending(): void
}

export interface RunnerHost {
  readonly clock: Clock
  readonly random: Random
  readonly scheduler: Scheduler
  readonly admission: Admission
  readonly placementOf: (spec: ResolvedWorker) => Placement
  /** The worker has stopped: closes what its module has set up in the shared loop. */
  readonly retire: (spec: ResolvedWorker) => void
  readonly logOf: (worker: string) => Logger
  readonly bufferCapacity: number
  readonly openBus: (owner: BusOwner) => ScopedBus
  /** Names of the workers that `after` and `requires` still wait for. */
  readonly gate: (spec: ResolvedWorker) => readonly string[]
  /** Workers whose start waits for their gate. */
  readonly waiting: Set<Waiting>
  readonly onTransition: (event: TransitionEvent) => void
  /** Called when a critical worker is lost: the herd stops. */
  readonly onEscalate: (worker: string, why: string) => void
  readonly assignments: Assignments
  /** Undefined without a Redis bus. */
  readonly leasing: Leasing | undefined
}

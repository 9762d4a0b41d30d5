// What a runner uses of the herd it belongs to; one object for all runners of a herd.

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

/** Whose bus it is: messages kept for the worker are claimed from its inbox and given back to it. */
export interface BusOwner {
  readonly name: string
  readonly spec: ResolvedWorker
  readonly inbox: Inbox
}

/** A worker whose start is held back by its gate. */
export interface Waiting {
  /** Starts it if its gate is open now. */
  retryPending(): void
}

export interface RunnerHost {
  readonly clock: Clock
  readonly random: Random
  readonly scheduler: Scheduler
  readonly admission: Admission
  readonly placementOf: (spec: ResolvedWorker) => Placement
  readonly logOf: (worker: string) => Logger
  readonly bufferCapacity: number
  readonly openBus: (owner: BusOwner) => ScopedBus
  /** What `after` and `requires` still wait for. */
  readonly gate: (spec: ResolvedWorker) => readonly string[]
  /** Those that are held back by their gate. */
  readonly waiting: Set<Waiting>
  readonly onTransition: (event: TransitionEvent) => void
  /** A critical worker is lost: it takes the herd with it. */
  readonly onEscalate: (worker: string, why: string) => void
  readonly assignments: Assignments
  /** Where there is a shared bus. */
  readonly leasing: Leasing | undefined
}

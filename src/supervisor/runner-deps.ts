// What a runner is given by the supervisor it belongs to; one object for all runners of a herd.

import type { Clock, Random } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { ScopedBus } from '../bus/bus.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { Admission } from './admission.ts'
import type { Leasing } from './leasing.ts'
import type { Placement } from './placement/placement.ts'
import type { Residence } from './residence.ts'
import type { Runner } from './runner.ts'
import type { TransitionEvent } from './status.ts'

export interface RunnerDeps {
  readonly clock: Clock
  readonly random: Random
  readonly scheduler: Scheduler
  readonly admission: Admission
  readonly placementOf: (spec: ResolvedWorker) => Placement
  readonly logOf: (worker: string) => Logger
  readonly bufferCapacity: number
  readonly openBus: (runner: Runner) => ScopedBus
  /** What `after` and `requires` still wait for. */
  readonly gate: (runner: Runner) => readonly string[]
  /** Those that are held back by their gate. */
  readonly waiting: Set<Runner>
  readonly onTransition: (runner: Runner, event: TransitionEvent) => void
  readonly onEscalate: (runner: Runner, why: string) => void
  readonly residence: Residence
  /** Where there is a shared bus. */
  readonly leasing: Leasing | undefined
}

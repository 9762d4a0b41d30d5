// The options and the interface of a supervisor. Everything with an effect is an option, so that tests can replace it.

import type { Clock, Random } from '../base/clock.ts'
import type { ExitCode } from '../base/exit-codes.ts'
import type { HostBus } from '../bus/bus.ts'
import type { ResolvedHerd } from '../config/types.ts'
import type { Leasing } from '../herd/leasing.ts'
import type { SupervisorLog } from '../log/herd-log.ts'

export interface StartPhases {
  readonly spawnMs?: number
  readonly importsMs?: number
  readonly configMs?: number
  readonly busMs?: number
}

export interface SupervisorOptions {
  readonly herd: ResolvedHerd
  /** The group hosted, or undefined for all of them. */
  readonly group: string | undefined
  /** Used in file names and in the status: the group, `_all`, or `run-<worker>`. */
  readonly label: string
  /** Hosts only these workers of the group. */
  readonly only?: readonly string[]
  /** 'run': hosts one worker; the process ends with it. */
  readonly mode: 'supervise' | 'run'
  readonly bus: HostBus
  /** With a Redis bus: acquires the leases of workers. */
  readonly leasing?: Leasing | undefined
  readonly log: SupervisorLog
  readonly clock: Clock
  readonly random: Random
  /** Folder of the breadcrumb and the state file. */
  readonly stateFolder: string
  /** Folder of byre's own code (dist/): stack frames below it are byre's. */
  readonly ownRoot: string
  readonly phases: StartPhases
  /** Monotonic ms of process start, for readyMs. */
  readonly processStartedAt: number
  /** Called once, when the shutdown begins. */
  readonly onDraining?: (why: string) => void
}

export interface Supervisor {
  /** Starts eager workers in order, arms the activation of the others. Resolves once every eager worker is ready or has failed its first start. */
  start(): Promise<void>
  /** Resolves with the exit code once the herd is down, regardless of the reason. */
  readonly exited: Promise<ExitCode>
  /** Stops the herd: workers in reverse start order, each bounded by its stopTimeout. Logs the names of unstopped ones. */
  stop(by: string): Promise<void>
  /** Called on a second signal, when the process exits within this turn: the next start must not name a worker as the cause. */
  abandon(): void
  /** Removes guards and error handlers from the process. To be called last, right before the process exits: until then an
   *  error of an unstopped worker must not end it. */
  release(): void
  /** Applies a new config: only workers whose entry changed are affected. Returns the refused changes; if there are any,
   *  nothing is applied. */
  reload(herd: ResolvedHerd): readonly { readonly path: string; readonly message: string }[]
}

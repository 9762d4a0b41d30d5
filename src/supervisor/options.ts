// What a supervisor is given, and what it offers. Everything with an effect comes in here, so that tests feed their own.

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
  /** Its name in file names and status: the group, `_all`, or `run-<worker>`. */
  readonly label: string
  /** Hosts only these workers of the group. */
  readonly only?: readonly string[]
  /** 'run': one worker alone; the process ends when the worker does. */
  readonly mode: 'supervise' | 'run'
  readonly bus: HostBus
  /** With a shared bus: what its leases are kept by. */
  readonly leasing?: Leasing | undefined
  readonly log: SupervisorLog
  readonly clock: Clock
  readonly random: Random
  /** `<herd>/<group>` files live here: breadcrumb and state. */
  readonly stateFolder: string
  /** byre's own code: frames below it are byre's (dist/). */
  readonly ownRoot: string
  readonly phases: StartPhases
  /** Monotonic ms of process start, for readyMs. */
  readonly processStartedAt: number
  /** Once, when the end begins, whatever brought it about. */
  readonly onDraining?: (why: string) => void
}

export interface Supervisor {
  /** Starts eager workers in order, arms the activation of the others. Resolves once every eager worker is ready or given up. */
  start(): Promise<void>
  /** Resolves with the exit code once everything is down, whatever brought it down. */
  readonly exited: Promise<ExitCode>
  /** Graceful: reverse start order, each bounded by its stopTimeout; names the unstopped. */
  stop(by: string): Promise<void>
  /** The process ends in this very turn, by a second signal: the next start is to blame nobody. */
  abandon(): void
  /** Gives the process back: takes down guards and error handlers. Last of all, right before the process exits: until
   *  then an error of an unstopped worker must not be what ends it. */
  release(): void
  /** Applies a new config: only workers whose entry changed are touched. Returns what was refused (nothing is applied then). */
  reload(herd: ResolvedHerd): readonly { readonly path: string; readonly message: string }[]
}

// What createSupervisor is given. Everything with an effect comes in here, so that tests feed their own.

import type { Clock, Random } from '../base/clock.ts'
import type { ExitCode } from '../base/exit-codes.ts'
import type { HostBus } from '../bus/bus.ts'
import type { ResolvedHerd } from '../config/types.ts'
import type { Logger, LogLevel } from '../log/logger.ts'

/** The log of a herd, as the supervisor uses it (log/herd-log.ts implements it). */
export interface SupervisorLog {
  readonly root: Logger
  /** Child logger tagged with the worker; cheap to ask for, made on first use. */
  worker(name: string): Logger
  setLevel(worker: string, level: LogLevel): void
  /** The worker is about to run: its own journald stream is opened where there is one. */
  activate(worker: string): void
  deactivate(worker: string): void
  /** Captured stdout and stderr of a worker: split into lines, bounded in length and rate. */
  capture(worker: string, stream: 'stdout' | 'stderr', chunk: string | Uint8Array): void
  /** Synchronous last words. */
  fatalSync(fields: object, message: string): void
  /** Waits until written, at most `timeoutMs` (500 at tear-down). */
  flush(timeoutMs: number): Promise<void>
}

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
}

export interface Supervisor {
  /** Starts eager workers in order, arms the activation of the others. Resolves once every eager worker is ready or given up. */
  start(): Promise<void>
  /** Resolves with the exit code once everything is down, whatever brought it down. */
  readonly exited: Promise<ExitCode>
  /** Graceful: reverse start order, each bounded by its stopTimeout; names the unstopped. */
  stop(by: string): Promise<void>
  /** Applies a new config: only workers whose entry changed are touched. Returns what was refused (nothing is applied then). */
  reload(herd: ResolvedHerd): readonly { readonly path: string; readonly message: string }[]
}

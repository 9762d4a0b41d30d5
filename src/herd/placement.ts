// The interface between a runner and a placement, in which the worker's module is loaded and run() executes. The runner
// decides, the placement acts and reports back.

import type { ResolvedWorker } from '../config/types.ts'
import type { LogLevel } from '../log/logger.ts'
import type { Wake } from '../worker/contract.ts'
import type { LoadNeeds } from '../worker/load.ts'
import type { StopReason } from '../worker/stop-reason.ts'
import type { OutsideProfiler, Verdict, WorkerSample } from './status.ts'

/** How a run ended, or why it has to end. `text` is one sentence, `evidence` the facts behind it (JSON values). */
export interface Exit {
  readonly verdict: Verdict
  readonly text: string
  readonly evidence: Readonly<Record<string, unknown>>
  /** Set when another start cannot succeed: the restart policy is skipped and `onLimit` applies at once. If the code has to
   *  change first, the worker is not ejected: it would fail in a process as well. */
  readonly needs?: LoadNeeds
}

/** Time and memory that loading a module took. `unavailable` has the reason for each absent figure. */
export interface LoadFigures {
  readonly ms?: number
  /** Growth of the RSS of the process. */
  readonly rssBytes?: number
  readonly unavailable?: Readonly<Record<string, string>>
}

/** Reports of one instance. Called outside every worker's context; loaded, ready and ended at most once each. */
export interface InstanceEvents {
  /** `figures` is undefined if the module was loaded for an earlier run. */
  loaded(figures: LoadFigures | undefined): void
  ready(): void
  /** run() settled, or loading failed. */
  ended(exit: Exit): void
  /** A stray error or process.exit was charged to the run, which continues until it is aborted. */
  charged(exit: Exit): void
  /** The run has been idle for sleepAfter. Reported by threads and processes only. */
  idle(): void
}

/** Resources that an ended run left open, by name; closed. */
export interface Leftovers {
  readonly timers: readonly string[]
  readonly listeners: readonly string[]
  /** Listening servers. */
  readonly servers: readonly string[]
  /** Sockets, requests, threads, watchers, ports. */
  readonly handles: readonly string[]
}

export const NOTHING_LEFT: Leftovers = { timers: [], listeners: [], servers: [], handles: [] }

export interface Whereabouts {
  readonly pid: number
  /** The kernel's id of the thread. */
  readonly tid?: number
  /** The latest figures of the sampler. */
  readonly sample?: WorkerSample
}

/** One run of one worker, from loading to release. */
export interface Instance {
  /** Calls run(). Once, after `loaded`. */
  run(): void
  abort(reason: StopReason): void
  /** Releases the run: closes its bus, periods and resources, closes and names what it left open. Idempotent; afterwards
   *  the instance reports nothing. `cause` is the exit that led to the release, if any: without one a load in progress has
   *  not failed, and the next run waits for it. */
  release(cause?: Exit): Leftovers
  /** The thread or process of the run; undefined in the supervisor's own thread. */
  readonly whereabouts?: Whereabouts | undefined
  /** Kills the thread or process, which is then reported as the end of the run. Absent in the shared loop. */
  kill?(): void
  /** The group is short of memory: collects garbage, or sleeps if the run is idle. Absent in the shared loop. */
  relieve?(how: Relief): void
  /** Profiles the run's own loop. Absent in the shared loop and for a script without `inside`. */
  readonly profile?: OutsideProfiler | undefined
  /** Sets the log level inside the thread or process. */
  setLevel?(level: LogLevel | 'silent'): void
}

/** How a thread or process frees memory. */
export type Relief = 'collect' | 'sleep'

export interface LaunchRequest {
  readonly spec: ResolvedWorker
  readonly index: number
  readonly run: number
  readonly wake: Wake
  /** Fence of the lease it runs under. */
  readonly fence?: number | undefined
  readonly events: InstanceEvents
}

export interface Placement {
  /** Starts loading immediately. */
  launch(request: LaunchRequest): Instance
  /** The worker has stopped, or lives elsewhere from now on: closes what its module has set up. Absent where that ends with the
   *  thread or process. */
  retire?(spec: ResolvedWorker): void
}

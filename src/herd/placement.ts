// What a placement is to a runner: somewhere a worker's module is loaded and its run() lives. The runner decides,
// the placement acts and reports back.

import type { ResolvedWorker } from '../config/types.ts'
import type { LogLevel } from '../log/logger.ts'
import type { Wake } from '../worker/contract.ts'
import type { LoadNeeds } from '../worker/load.ts'
import type { StopReason } from '../worker/stop-reason.ts'
import type { OutsideProfiler, Verdict, WorkerSample } from './status.ts'

/** How a run ended, or why it must. `text` is one sentence, `evidence` the facts behind it (JSON values). */
export interface Exit {
  readonly verdict: Verdict
  readonly text: string
  readonly evidence: Readonly<Record<string, unknown>>
  /** Another start as things are cannot help: the restart policy is not asked and `onLimit` is taken at once. Where its
   *  code has to be changed first, that is not an eject: it would fail in its own process as well. */
  readonly needs?: LoadNeeds
}

/** What loading a module took. `unavailable` has the reason for each figure that is absent. */
export interface LoadFigures {
  readonly ms?: number
  /** Growth of the RSS of the process. */
  readonly rssBytes?: number
  readonly unavailable?: Readonly<Record<string, string>>
}

/** Reports of one instance. Called outside every worker's context; each of loaded, ready, ended at most once. */
export interface InstanceEvents {
  /** Without figures: the module was loaded for an earlier run. */
  loaded(figures: LoadFigures | undefined): void
  ready(): void
  /** run() settled, or loading failed. */
  ended(exit: Exit): void
  /** A stray error or process.exit was charged to the run, which goes on until it is aborted. */
  charged(exit: Exit): void
  /** It has had nothing to do for its sleepAfter; told by threads and processes only. */
  idle(): void
}

/** What an ended run left behind. */
export interface Leftovers {
  readonly timers: readonly string[]
  readonly listeners: readonly string[]
  /** Servers it left listening; closed. */
  readonly servers: readonly string[]
}

export interface Whereabouts {
  readonly pid: number
  /** The kernel's id of its thread. */
  readonly tid?: number
  /** The sampler's latest figures of it. */
  readonly sample?: WorkerSample
}

/** One run of one worker, from loading to release. */
export interface Instance {
  /** Calls run(); once, after `loaded`. */
  run(): void
  abort(reason: StopReason): void
  /** Lets go of it: closes its bus, periods and resources, clears and names what it left. Idempotent; after it the
   *  instance reports nothing any more. `cause` is the verdict it is let go of for, if any: without one a load that is
   *  still under way is not a failed one, and the next run waits for it. */
  release(cause?: Exit): Leftovers
  /** Where it lives, when that is not the supervisor's own thread. */
  readonly whereabouts?: Whereabouts | undefined
  /** Ends it whatever it does, and reports that as its end. Absent where nothing can: in the shared loop. */
  kill?(): void
  /** Its group is short of memory: it collects, or ends for now if nothing is to be done. Absent in the shared loop. */
  relieve?(how: Relief): void
  /** Of its own loop. Absent where it shares one, and for a script without byre's code inside. */
  readonly profile?: OutsideProfiler | undefined
  /** The herd set another log level for it. */
  setLevel?(level: LogLevel | 'silent'): void
}

/** How a thread or process gives memory back. */
export type Relief = 'collect' | 'sleep'

export interface LaunchRequest {
  readonly spec: ResolvedWorker
  readonly index: number
  readonly run: number
  readonly wake: Wake
  /** Of the lease it runs under. */
  readonly fence?: number | undefined
  readonly events: InstanceEvents
}

export interface Placement {
  /** Starts loading at once. */
  launch(request: LaunchRequest): Instance
}

// The worker contract. Read this file first.
//
// A worker is a module that exports `run(ctx)`, a coroutine that lives until its signal aborts. byre imports the module
// when it is first needed (an eager worker at start, any other on its first message or tick) and calls `run` once per
// start. After a restart it may call `run` again on the same module instance. Module state persists, so keep the state
// of a run inside `run`.
//
//   - When `run` resolves, the worker is done. When it rejects, the worker has failed, unless it rejects with
//     `ctx.signal.reason` after an abort: that is a stop.
//   - When the signal aborts, return within `stopTimeout` (5 s by default); after that the worker is reported as
//     unstopped and byre continues without it.
//   - The contract is the same for a worker that runs alone and for one that is hosted with others.

import type { Json } from '../base/json.ts'
import type { Bus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'

/** The exports of a worker module. `Config` is the JSON of the worker's `config` key. */
export interface WorkerModule<Config = Json> {
  run(ctx: WorkerContext<Config>): unknown
}

export type WakeCause = 'start' | 'topic' | 'tick' | 'stream' | 'manual'

export interface Wake {
  readonly by: WakeCause
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** A resource that the workers of a process or thread share: created on first use, disposed after the last release. */
export interface Resource<T> {
  /** Resources with equal keys are the same resource. */
  readonly key: string
  create(): Promise<T> | T
  dispose?(value: T): Promise<void> | void
}

export interface OffloadOptions {
  readonly signal?: AbortSignal
}

export interface EveryOptions {
  /** The first run is delayed by a random part of this fraction of the period, 0 to 1. @default 0.1 */
  readonly jitter?: number
  /** Run the first time at once, before the first period has passed. @default false */
  readonly immediate?: boolean
}

export interface WorkerContext<Config = Json> {
  readonly name: string
  /** The `config` of the worker's config entry, frozen. */
  readonly config: Config
  /** The process environment with the worker's `env` on top, frozen. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborts when the worker must end; `reason` is a StopReason. */
  readonly signal: AbortSignal
  readonly log: Logger
  /** The cause and time of this start. */
  readonly wake: Wake
  /** Reports that the worker is ready. Required with `ready: 'call'`, without effect otherwise. Later calls do nothing. */
  ready(): void
  /** Reads a systemd credential ($CREDENTIALS_DIRECTORY/name). Throws BYRE_CREDENTIAL_MISSING, or BYRE_ARGUMENT_INVALID for
   *  an invalid name. */
  credential(name: string): Buffer
  /** The fencing token of the lease: a whole number below 2^53, greater than that of every earlier holder. A resource that
   *  has seen a fence must refuse requests with a lower one. Absent without a lease. */
  readonly fence?: number
  /** The bus. Subscriptions that the worker opens are closed when its run ends. */
  readonly bus: Bus
  /** Returns the shared value of `resource`, which is released when the run ends. The workers of placement `shared` share
   *  one value; a worker in a thread or process has its own. */
  use<T>(resource: Resource<T>): Promise<T>
  /** Runs the default export of `moduleUrl` with `input` on a thread of the supervisor's pool, or in placement `process` on
   *  a thread of the worker's own pool. */
  offload<T>(moduleUrl: string | URL, input: unknown, options?: OffloadOptions): Promise<T>
  /** Calls `fn` once per `period` (milliseconds or a duration, 10 ms to 365 d) until the signal aborts. Calls do not
   *  overlap and do not drift. A call that takes longer than the period skips the ticks it misses. An error of `fn` fails
   *  the worker. Returns a function that ends the repetition. */
  every(period: number | string, fn: () => unknown, options?: EveryOptions): () => void
}

// The worker contract. Read this file first.
//
// A worker is a module that exports `run(ctx)`: a coroutine that lives until its signal aborts. byre imports the
// module when it is first needed (at start for an eager worker; on the first message or tick otherwise) and calls
// `run` once per start. `run` may be called again on the same module instance after a restart: module state
// persists, so keep per-run state inside `run`.
//
//   - `run` resolving means done; rejecting means failed. Rejecting with `ctx.signal.reason` after an abort is a stop.
//   - When the signal aborts, return within `stopTimeout` (5 s by default); after that the worker is reported as
//     unstopped and byre goes on without it.
//   - A worker cannot tell whether it is hosted with others or alone; nothing here depends on it.

import type { Json } from '../base/json.ts'
import type { Bus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'

/** What a worker module exports. `Config` is the JSON of the worker's `config` key. */
export interface WorkerModule<Config = Json> {
  run(ctx: WorkerContext<Config>): unknown
}

export type WakeCause = 'start' | 'topic' | 'tick' | 'stream' | 'manual'

export interface Wake {
  readonly by: WakeCause
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** A resource the workers of one process or thread share: created on first use, disposed after the last release. */
export interface Resource<T> {
  /** Identity: two resources with one key are the same resource. */
  readonly key: string
  create(): Promise<T> | T
  dispose?(value: T): Promise<void> | void
}

export interface OffloadOptions {
  readonly signal?: AbortSignal
}

export interface EveryOptions {
  /** Fraction of the period added at random to the first run, 0 to 1. @default 0.1 */
  readonly jitter?: number
  /** Run once at once, before the first period has passed. @default false */
  readonly immediate?: boolean
}

export interface WorkerContext<Config = Json> {
  readonly name: string
  /** The worker's `config` key; its own frozen copy. */
  readonly config: Config
  /** The process environment with the worker's `env` on top, frozen. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborts when the worker must end; `reason` is a StopReason. */
  readonly signal: AbortSignal
  readonly log: Logger
  /** What woke it. */
  readonly wake: Wake
  /** Says "I am ready". Needed with `ready: 'call'`, harmless otherwise; later calls do nothing. */
  ready(): void
  /** The content of a systemd credential ($CREDENTIALS_DIRECTORY/name). Throws BYRE_CREDENTIAL_MISSING. */
  credential(name: string): Buffer
  /** With `lease`: greater than that of every holder before, a whole number below 2^53. A resource that has seen a fence
   *  must refuse what comes with a lower one. Absent without a lease. */
  readonly fence?: number
  /** Scoped: what the worker opened is closed with it. */
  readonly bus: Bus
  /** The shared value of `resource`; released when the run ends. Shared by the workers of one thread or process: those of
   *  placement `shared` have one value, a worker in a thread or process has its own. */
  use<T>(resource: Resource<T>): Promise<T>
  /** Runs the default export of `moduleUrl` with `input` on a thread of the supervisor's pool; in placement `process`, of the
   *  worker's own. */
  offload<T>(moduleUrl: string | URL, input: unknown, options?: OffloadOptions): Promise<T>
  /** Calls `fn` each `period` (milliseconds or a duration, 10 ms to 365 d), never overlapping, without drift, until
   *  the signal aborts; a throw of `fn` fails the worker. A run that takes longer than the period skips the ticks it
   *  missed. Returns its own release. */
  every(period: number | string, fn: () => unknown, options?: EveryOptions): () => void
}

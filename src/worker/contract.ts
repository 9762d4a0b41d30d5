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

/**
 * A resource that is a module of its own: one value for the workers of every placement, made and kept in the supervisor's
 * process (under `byre run` and in another group: in that one). What `ctx.use` gives is a Remote: a frozen object of the
 * value's methods.
 */
export interface HerdResource {
  /** Identity, 1 to 128 characters: two with one key are the same resource. */
  readonly key: string
  /** A file: URL or an absolute path: `new URL('./orders-db.js', import.meta.url)`. It exports a ResourceModule. Loaded
   *  once, with the first use; who gives the same key with another module is refused (BYRE_RESOURCE_CONFLICT). */
  readonly module: string | URL
  /** What `create` gets, as a copy; at most 64 KiB of JSON. The same for all who use the key. @default null */
  readonly input?: Json
  /** How long this worker waits for the value, and for the answer to each call: 1 to 2,147,483,647 ms, or a duration.
   *  Then BYRE_RESOURCE_TIMEOUT; the method itself is not ended by it. @default '30s' */
  readonly timeout?: number | string
}

/** What the module of a HerdResource exports, by name; a CommonJS module as members of `module.exports`. */
export interface ResourceModule<T extends object, Input = Json> {
  /** Makes the value, an object with methods. When it rejects, so do those who wait; the next use calls it again. */
  create(input: Input): Promise<T> | T
  /** Called after the last release, which is also the end of a run. The next `create` waits for it, 5 s at most. */
  dispose?(value: T): Promise<void> | void
}

/** Never methods of a Remote: the language calls them by itself, and each would answer with a promise. */
type CalledByLanguage = 'constructor' | 'then' | 'toJSON' | 'toLocaleString' | 'toString' | 'valueOf'

/**
 * The methods of T, each answering with a promise. Arguments and results are copies, JSON exactly: null, booleans, finite
 * numbers, strings, arrays and plain objects of them, 512 levels deep, within `limits.message`; a result and the last
 * arguments may be undefined, so may a member of an object, which is left out. All else (a Date, a Map, a Buffer, an instance of a class,
 * a function) rejects with BYRE_RESOURCE_VALUE and where it stands. What a method throws arrives as an Error with its
 * name, message and code, and the text of its cause. At most 256 calls of a worker, of 16 Mi characters, wait at a time:
 * more reject with BYRE_RESOURCE_BUSY.
 */
export type Remote<T> = {
  readonly [K in Extract<keyof T, string> as K extends CalledByLanguage
    ? never
    : T[K] extends (...args: never[]) => unknown
      ? K
      : never]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never
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
  /** The shared value of `resource`; released when the run ends. A Resource is shared within one process or thread: among
   *  the workers of placement `shared`. */
  use<T>(resource: Resource<T>): Promise<T>
  /** The same for a module of its own, shared with the workers of every placement: `ctx.use<OrdersDb>({ key, module })`. */
  use<T extends object>(resource: HerdResource): Promise<Remote<T>>
  /** Runs the default export of `moduleUrl` with `input` on a thread of the supervisor's pool; in placement `process`, of the
   *  worker's own. */
  offload<T>(moduleUrl: string | URL, input: unknown, options?: OffloadOptions): Promise<T>
  /** Calls `fn` each `period` (milliseconds or a duration, 10 ms to 365 d), never overlapping, without drift, until
   *  the signal aborts; a throw of `fn` fails the worker. A run that takes longer than the period skips the ticks it
   *  missed. Returns its own release. */
  every(period: number | string, fn: () => unknown, options?: EveryOptions): () => void
}

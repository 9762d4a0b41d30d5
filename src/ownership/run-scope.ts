// Whose code runs: one RunScope per run of a worker, carried by AsyncLocalStorage through everything the run starts.
// Errors, exits, timers, listeners and output find their worker through it.

import { AsyncLocalStorage } from 'node:async_hooks'
import type { Writable } from 'node:stream'

/** What a scope reports to its runner. Calls may come from any callback; they must not throw. */
export interface ScopeSink {
  /** An error nobody caught. `via` says where it surfaced: 'setTimeout', 'unhandledRejection', ... */
  stray(error: unknown, via: string): void
  /** A way out of the process was taken; `earlier` is the call whose throw was swallowed, if this is not the first. */
  exitCalled(call: ExitCall, earlier: ExitCall | undefined): void
  /** It touched something the process shares; told once per kind and run. */
  touched(kind: string, what: string): void
  /** A line it wrote to stdout, stderr or console. */
  output(stream: 'stdout' | 'stderr', chunk: string | Uint8Array): void
}

/** A call of the trapped process.exit, or of process.kill for itself. */
export interface ExitCall {
  readonly code: number
  /** As it was called: `process.exit(3)`, `process.kill(1234, SIGKILL)`. */
  readonly how: string
  /** From where. */
  readonly stack?: string
  /** What it threw has come out of the worker's code; false when the worker swallowed it. */
  surfaced: boolean
}

export interface ForeignListener {
  readonly emitter: WeakRef<object>
  readonly name: string
  readonly event: string | symbol
  readonly listener: (...args: unknown[]) => unknown
  readonly remove: () => void
}

/** The part of a Timeout of Node that byre reads (lib/internal/timers.js). */
export interface TimerHandle {
  readonly _idleTimeout: number
  readonly _idleNext: TimerHandle | null
  readonly _repeat: number | null
  readonly _onTimeout: { readonly name?: unknown } | null
  /** It has fired, was cleared or closed. */
  readonly _destroyed: boolean
}

/** What is noted of the timers of one run. */
export interface StartedTimers {
  /** Durations of its time-outs, ms. */
  readonly durations: Set<number>
  lastDuration: number
  /** Those that have no time-out of the run any more are dropped when the set has reached this size. */
  durationsCheckAt: number
  /** An interval whose callback runs is in no list. */
  intervals: TimerHandle[]
  intervalsCheckAt: number
}

/** What an emitter is stamped with: the run that made it, or the module of a worker while that is evaluated. */
export interface Maker {
  readonly worker: string
}

/** One run of one worker. Mutable, owned by its runner; `ended` once the runner has let go of it. */
export interface RunScope extends Maker {
  /** Stands for the module of the worker, which outlives the run. */
  readonly module: Maker
  /** Path of the worker's entry module; empty for code that has none. */
  readonly entry: string
  /** Index of the worker in the herd, for the breadcrumb. */
  readonly index: number
  readonly run: number
  readonly sink: ScopeSink
  ended: boolean
  /** Its module is being loaded: what it sets up now belongs to the module and outlives the run. */
  loading: boolean
  /** The first call of process.exit; it decides. */
  exit: ExitCall | undefined
  timers: StartedTimers | undefined
  /** Bounded, see wrap-events. */
  foreignListeners: ForeignListener[] | undefined
  foreignListenersCheckAt: number
  touchedKinds: Set<string> | undefined
  /** Its writes to process.env: undefined marks a deletion. */
  env: Map<string, string | undefined> | undefined
  /** What it made of process.argv; undefined until it asks for it. */
  argv: string[] | undefined
  /** Its callback of process.setUncaughtExceptionCaptureCallback, which domains are built on. */
  capture: ((error: unknown) => unknown) | undefined
  /** Its process.stdout and process.stderr; undefined until it asks for one. */
  streams: { stdout?: Writable; stderr?: Writable } | undefined
}

/** `entry`: path of the worker's module, or '' for code that is no worker's. */
export function createRunScope(
  worker: string,
  index: number,
  run: number,
  sink: ScopeSink,
  entry = '',
): RunScope {
  return {
    worker,
    module: { worker },
    entry,
    index,
    run,
    sink,
    ended: false,
    loading: true,
    exit: undefined,
    timers: undefined,
    foreignListeners: undefined,
    foreignListenersCheckAt: 0,
    touchedKinds: undefined,
    env: undefined,
    argv: undefined,
    capture: undefined,
    streams: undefined,
  }
}

const storage = new AsyncLocalStorage<RunScope | undefined>()

/** The run whose code is executing, or undefined in byre's own and in nobody's code. */
export function currentScope(): RunScope | undefined {
  return storage.getStore()
}

/** Runs `fn` in the context of `scope`; undefined: in no worker's. */
export function runInScope<T>(scope: RunScope | undefined, fn: () => T): T {
  return storage.run(scope, fn)
}

/** Is called where byre itself enters a worker's code. */
export interface EntryWatch {
  entered(scope: RunScope): void
  /** Its module is evaluated, in turns of the loop that cannot be foreseen, until `done` is called. */
  loading(scope: RunScope): { done(): void }
}
let watch: EntryWatch | undefined

export function watchEntries(next: EntryWatch | undefined): void {
  watch = next
}

/** Notes that byre is about to run code of `scope`. */
export function noteEntry(scope: RunScope): void {
  watch?.entered(scope)
}

/** Notes that the module of `scope` is being loaded; the caller ends it. */
export function noteLoading(scope: RunScope): { done(): void } | undefined {
  return watch?.loading(scope)
}

/** Decides which worker an error is charged to that surfaced in `scope`; set once by the supervisor. */
export type StrayJudge = (error: unknown, via: string, scope?: RunScope) => void
let judge: StrayJudge | undefined

export function judgeStraysWith(next: StrayJudge | undefined): void {
  judge = next
}

/** An uncaught error surfaced while code of `scope` ran; most of the time it is charged to it. */
export function strayIn(scope: RunScope, error: unknown, via: string): void {
  if (judge === undefined) scope.sink.stray(error, via)
  else judge(error, via, scope)
}

/** Notes the entry into `scope` and runs `fn` in its context. */
export function enter<T>(scope: RunScope, fn: () => T): T {
  noteEntry(scope)
  return storage.run(scope, fn)
}

/** Calls `fn` in `scope` for a caller of another context, which must not see what `fn` throws. */
export function callAs(scope: RunScope, via: string, fn: () => unknown): unknown {
  try {
    return enter(scope, fn)
  } catch (error) {
    strayIn(scope, error, via)
    return undefined
  }
}

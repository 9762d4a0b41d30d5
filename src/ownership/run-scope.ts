// Which worker's code is running: one RunScope per run of a worker, carried by AsyncLocalStorage through everything that the
// run starts. Errors, exits, timers, listeners and output are attributed through it.

import { AsyncLocalStorage, createHook, executionAsyncResource } from 'node:async_hooks'
import type { HookCallbacks } from 'node:async_hooks'
import type { AsyncHook } from 'node:async_hooks'
import type { Writable } from 'node:stream'

/** What a scope reports to its run. Called from any callback; must not throw. */
export interface ScopeSink {
  /** An uncaught error. `via` names where it surfaced: 'setTimeout', 'unhandledRejection', ... */
  stray(error: unknown, via: string): void
  /** A guarded exit was called. `earlier`: the first such call, whose error the worker caught. */
  exitCalled(call: ExitCall, earlier: ExitCall | undefined): void
  /** It changed something that the process shares; reported once per kind and run. */
  touched(kind: string, what: string): void
  /** It wrote to stdout, stderr or console. */
  output(stream: 'stdout' | 'stderr', chunk: string | Uint8Array): void
}

/** A call of the guarded process.exit, or of process.kill for the own process. */
export interface ExitCall {
  readonly code: number
  /** The call: `process.exit(3)`, `process.kill(1234, SIGKILL)`. */
  readonly how: string
  /** Stack frames of the caller. */
  readonly stack?: string
  /** The error that it threw has left the worker's code; false while the worker may have caught it. */
  surfaced: boolean
}

export interface ForeignListener {
  readonly emitter: WeakRef<object>
  readonly name: string
  readonly event: string | symbol
  readonly listener: (...args: unknown[]) => unknown
  readonly remove: () => void
}

/** Members of Node's Timeout that byre reads (lib/internal/timers.js). */
export interface TimerHandle {
  readonly _idleTimeout: number
  readonly _idleNext: TimerHandle | null
  readonly _repeat: number | null
  readonly _onTimeout: { readonly name?: unknown } | null
  /** It has fired, was cleared or closed. */
  readonly _destroyed: boolean
}

/** The timers that one run has started. */
export interface StartedTimers {
  /** Durations of its timeouts, ms. */
  readonly durations: Set<number>
  lastDuration: number
  /** At this size of the set, durations without a pending timeout of the run are removed. */
  durationsCheckAt: number
  /** Kept directly: an interval whose callback is running is in none of Node's lists. */
  intervals: TimerHandle[]
  intervalsCheckAt: number
}

/** The stamp of an object: the run that made it, or the worker's module while it is evaluated. */
export interface Maker {
  readonly worker: string
}

/** One run of one worker. Mutable, owned by its run; `ended` once the run is released. */
export interface RunScope extends Maker {
  /** Represents the worker's module, which outlives the run. */
  readonly module: Maker
  /** Path of the worker's entry module; empty for code without one. */
  readonly entry: string
  /** Index of the worker in the herd, for the breadcrumb. */
  readonly index: number
  readonly run: number
  readonly sink: ScopeSink
  ended: boolean
  /** Its module is being loaded: what it sets up during the load belongs to the module and outlives the run. */
  loading: boolean
  /** The first call of process.exit, which determines the exit. */
  exit: ExitCall | undefined
  timers: StartedTimers | undefined
  /** Bounded, see wrap-events. */
  foreignListeners: ForeignListener[] | undefined
  foreignListenersCheckAt: number
  touchedKinds: Set<string> | undefined
  /** Its writes to process.env; undefined marks a deletion. */
  env: Map<string, string | undefined> | undefined
  /** Its process.argv; undefined until it reads or sets it. */
  argv: string[] | undefined
  /** Its callback of process.setUncaughtExceptionCaptureCallback, which domains are built on. */
  capture: ((error: unknown) => unknown) | undefined
  /** Its async hooks. */
  hooks: AsyncHook[] | undefined
  /** Its listeners on its list of process events. */
  processListeners: { readonly name: string; readonly remove: () => boolean }[] | undefined
  /** Its process.stdout and process.stderr; undefined until it reads one. */
  streams: { stdout?: Writable; stderr?: Writable } | undefined
}

/** `entry`: path of the worker's module, or '' for code that belongs to no worker. */
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
    hooks: undefined,
    processListeners: undefined,
    streams: undefined,
  }
}

// Taken before guard-hooks.ts replaces it for workers.
const nodesCreateHook = createHook
const storage = new AsyncLocalStorage<RunScope | undefined>()

/** The run whose code is executing; undefined outside every worker's context. */
export function currentScope(): RunScope | undefined {
  return storage.getStore()
}

/** Runs `fn` in the context of `scope`; undefined: outside every worker's context. */
export function runInScope<T>(scope: RunScope | undefined, fn: () => T): T {
  return storage.run(scope, fn)
}

/** Called where byre itself enters a worker's code. */
export interface EntryWatch {
  entered(scope: RunScope): void
  /** Until `done` is called, any turn of the loop may evaluate its module. */
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

/** Charges an uncaught error, which surfaced in `scope`, to a worker. */
export type StrayHandler = (error: unknown, via: string, scope?: RunScope, promise?: Promise<unknown>) => void
let strayHandler: StrayHandler | undefined

export function setStrayHandler(next: StrayHandler | undefined): void {
  strayHandler = next
}

/** An uncaught error surfaced while code of `scope` ran. Without a handler it is charged to `scope`. */
export function strayIn(scope: RunScope, error: unknown, via: string): void {
  if (strayHandler === undefined) scope.sink.stray(error, via)
  else strayHandler(error, via, scope)
}

/** Notes the entry into `scope` and runs `fn` in its context. */
export function enter<T>(scope: RunScope, fn: () => T): T {
  noteEntry(scope)
  return storage.run(scope, fn)
}

/** Calls `fn` in `scope` for a caller in another context, which must not receive what `fn` throws. */
export function callAs(scope: RunScope, via: string, fn: () => unknown): unknown {
  try {
    return enter(scope, fn)
  } catch (error) {
    strayIn(scope, error, via)
    return undefined
  }
}

/**
 * Calls `note` at the start of each turn of the loop (a callback of a timer, the file system or a socket; continuations of
 * promises belong to the turn that resolved them) with the run whose code it enters, if any. Returns the undo. On Node 20 and
 * 22 it also costs 10 to 20 ns per promise.
 */
export function eachTurn(note: (scope: RunScope | undefined) => void): () => void {
  const callbacks: HookCallbacks & { readonly trackPromises: false } = {
    before() {
      if (!(executionAsyncResource() instanceof Promise)) note(currentScope())
    },
    // Makes Node 24 and later skip promises; unknown to Node 20 and 22.
    trackPromises: false,
  }
  const hook = nodesCreateHook(callbacks).enable()
  return () => hook.disable()
}

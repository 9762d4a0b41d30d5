// Who is running: one RunScope per run of a worker, carried by AsyncLocalStorage through everything the run starts.
// Everything charged to a worker (errors, exits, timers, listeners, output) finds it through here.

import { AsyncLocalStorage } from 'node:async_hooks'

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

/** One run of one worker. Mutable, owned by its runner; `ended` once the runner has let go of it. */
export interface RunScope {
  readonly worker: string
  /** Index of the worker in the herd, for the breadcrumb. */
  readonly index: number
  readonly run: number
  readonly sink: ScopeSink
  ended: boolean
  /** Its module is being loaded: what it sets up now belongs to the module and outlives the run. */
  loading: boolean
  /** The first call of process.exit; it decides. */
  exit: ExitCall | undefined
  /** Timers it made and their callbacks; bounded, see wrap-timers. */
  timers: Map<object, (...args: unknown[]) => unknown> | undefined
  timersUntracked: number
  foreignListeners: ForeignListener[] | undefined
  touchedKinds: Set<string> | undefined
  /** Its writes to process.env: undefined marks a deletion. */
  env: Map<string, string | undefined> | undefined
}

export function createRunScope(worker: string, index: number, run: number, sink: ScopeSink): RunScope {
  return {
    worker,
    index,
    run,
    sink,
    ended: false,
    loading: true,
    exit: undefined,
    timers: undefined,
    timersUntracked: 0,
    foreignListeners: undefined,
    touchedKinds: undefined,
    env: undefined,
  }
}

const storage = new AsyncLocalStorage<RunScope | undefined>()

/** The run whose code is executing, or undefined in byre's own and in nobody's code. */
export function currentScope(): RunScope | undefined {
  return storage.getStore()
}

/** Runs `fn` as `scope` (undefined: as nobody). */
export function runInScope<T>(scope: RunScope | undefined, fn: () => T): T {
  return storage.run(scope, fn)
}

/** What is told of each entry into a worker's code; the breadcrumb. Replaced once by the supervisor. */
export interface EntryWatch {
  entered(scope: RunScope): void
  /** Its module is being evaluated, in turns of the loop nobody can tell beforehand, until `done` is called. */
  loading(scope: RunScope): { done(): void }
}
let watch: EntryWatch | undefined

export function watchEntries(next: EntryWatch | undefined): void {
  watch = next
}

/** Notes that code of `scope` is about to run. Cheap: one call and, in the watcher, a compare. */
export function noteEntry(scope: RunScope): void {
  watch?.entered(scope)
}

/** Notes that the module of `scope` is being loaded; the caller ends it. */
export function noteLoading(scope: RunScope): { done(): void } | undefined {
  return watch?.loading(scope)
}

/** Decides whose an error is that surfaced in `scope`; set once by the supervisor. */
export type StrayJudge = (error: unknown, via: string, scope: RunScope) => void
let judge: StrayJudge | undefined

export function judgeStraysWith(next: StrayJudge | undefined): void {
  judge = next
}

/** An error nobody caught surfaced while code of `scope` ran; most of the time it is the scope's own. */
export function strayIn(scope: RunScope, error: unknown, via: string): void {
  if (judge === undefined) scope.sink.stray(error, via)
  else judge(error, via, scope)
}

/** Enters `scope`: leaves a breadcrumb and runs `fn` in its context. */
export function enter<T>(scope: RunScope, fn: () => T): T {
  noteEntry(scope)
  return storage.run(scope, fn)
}

/** Calls `fn` in `scope` for a caller that is somebody else and must not see what it throws. */
export function callAs(scope: RunScope, via: string, fn: () => unknown): unknown {
  try {
    return enter(scope, fn)
  } catch (error) {
    strayIn(scope, error, via)
    return undefined
  }
}

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
  /** A guarded exit was called. */
  exitCalled(call: ExitCall): void
  /** It changed something that the process shares; reported once per kind and run. */
  touched(kind: string, what: string): void
  /** It wrote to stdout, stderr or console. */
  output(stream: 'stdout' | 'stderr', chunk: string | Uint8Array): void
  /** Undefined where the end of its child processes comes from outside. */
  readonly children?: ChildrenSink | undefined
}

/** What happens with the child processes that code of a scope starts. Called from any context; must not throw. */
export interface ChildrenSink {
  started(child: RunningChild, detached: boolean): void
  /** The scope has ended while the child runs. `late`: it was started afterwards. */
  end(child: RunningChild, late: boolean): void
  /** The writing ends that a child gets where it would inherit stdout and stderr of the process; undefined if there are none.
   *  Absent where children inherit those of the process. */
  readonly outputFds?: (() => readonly [stdout: number, stderr: number] | undefined) | undefined
}

/** Node's ChildProcess. Until Node has read its end, which sets one of the codes, the kernel does not reuse its pid. */
export interface RunningChild {
  readonly pid: number
  readonly exitCode: number | null
  readonly signalCode: string | null
}

export function isRunning({ exitCode, signalCode }: RunningChild): boolean {
  return exitCode === null && signalCode === null
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

/** The handles that a scope has opened, weakly: an open handle keeps its object alive. */
export interface Opened {
  list: { readonly reference: WeakRef<object>; readonly close: Close }[]
  /** At this length the list is searched for closed and collected ones. */
  checkAt: number
}

/** Closes `handle` if it is open and returns its name. `late`: its scope had ended when the handle was opened. */
export type Close = (handle: object, late: boolean) => Closed | undefined

export interface Closed {
  readonly kind: 'timers' | 'listeners' | 'servers' | 'handles' | 'children'
  readonly name: string
}

export interface ForeignListener {
  readonly emitter: WeakRef<object>
  readonly name: string
  readonly event: string | symbol
  readonly listener: WeakRef<(...args: unknown[]) => unknown>
}

export interface TargetListener {
  readonly target: WeakRef<EventTarget>
  readonly type: string
  readonly listener: WeakRef<object>
  readonly capture: boolean
  /** Another worker was the first to listen on the target. */
  readonly foreign: boolean
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

/** The stamp of an object: the scope that owns it. */
export interface Maker {
  readonly worker: string
}

/** An object that more than one worker has used: it ends with no run. */
export const SHARED: Maker = { worker: '' }

/**
 * The part of a worker's code that runs in a scope.
 * - 'load': the evaluation of its entry module and the imports of that. Other workers may import them too, so what they set up
 *   ends with no run.
 * - 'module': what the entry module itself has set up. It outlives the runs and ends when the load fails or the worker stops.
 * - 'run': one run.
 */
export type ScopePart = 'load' | 'module' | 'run'

/** What the process keeps for a program that is alone. The scopes 'load' and 'module' of a worker have one together. */
export interface OwnProcess {
  /** Writes to process.env; undefined marks a deletion. */
  env: Map<string, string | undefined> | undefined
  /** process.argv; undefined until it is read or set. */
  argv: string[] | undefined
  /** The callback of process.setUncaughtExceptionCaptureCallback, which domains are built on. */
  capture: ((error: unknown) => unknown) | undefined
  /** process.stdout and process.stderr; undefined until one is read. */
  streams: { stdout?: Writable; stderr?: Writable } | undefined
}

/** Mutable, owned by its run or load; `ended` once that is released. */
export interface RunScope extends Maker {
  readonly part: ScopePart
  /** The scope in which the worker's module was loaded; for that scope itself, and without a module, undefined. */
  load: RunScope | undefined
  /** Of a 'run': the scope in which it evaluates modules that it imports, if any. */
  evaluation: RunScope | undefined
  /** Of a 'load': the scope of what its entry module has set up, if anything. */
  module: RunScope | undefined
  /** Path of the worker's entry module; empty for code without one. */
  readonly entry: string
  /** Index of the worker in the herd, for the breadcrumb. */
  readonly index: number
  readonly run: number
  /** Rises with each scope of the process. */
  readonly order: number
  readonly sink: ScopeSink
  ended: boolean
  /** Its module is being evaluated: the running code decides what belongs to the module (evaluation.ts). */
  loading: boolean
  /** What it has opened; see handles.ts. */
  handles: Opened | undefined
  timers: StartedTimers | undefined
  /** Bounded, see wrap-events. */
  foreignListeners: ForeignListener[] | undefined
  foreignListenersCheckAt: number
  /** Bounded, see wrap-targets. */
  targetListeners: TargetListener[] | undefined
  touchedKinds: Set<string> | undefined
  readonly own: OwnProcess
  /** Its async hooks. */
  hooks: AsyncHook[] | undefined
  /** Its listeners on its list of process events. */
  processListeners: { readonly event: string; readonly remove: () => boolean }[] | undefined
}

let scopes = 0

/** The `order` of the scope that was created last: an error that surfaces now belongs to no later one. */
export function lastOrder(): number {
  return scopes
}

/** `entry`: path of the worker's module, or '' for code that belongs to no worker. */
export function createRunScope(
  worker: string,
  index: number,
  run: number,
  sink: ScopeSink,
  entry = '',
  part: ScopePart = 'run',
  own: OwnProcess = { env: undefined, argv: undefined, capture: undefined, streams: undefined },
): RunScope {
  return {
    worker,
    part,
    load: undefined,
    evaluation: undefined,
    module: undefined,
    entry,
    index,
    run,
    order: ++scopes,
    sink,
    ended: false,
    loading: part !== 'run',
    handles: undefined,
    timers: undefined,
    foreignListeners: undefined,
    foreignListenersCheckAt: 0,
    targetListeners: undefined,
    touchedKinds: undefined,
    own,
    hooks: undefined,
    processListeners: undefined,
  }
}

// Taken before guard-hooks.ts replaces it for workers.
const nodesCreateHook = createHook
const nodesSetTimeout = setTimeout
const storage = new AsyncLocalStorage<RunScope | undefined>()

/** The run whose code is executing; undefined outside every worker's context. */
export function currentScope(): RunScope | undefined {
  return storage.getStore()
}

/** Everything that the running code starts from now on belongs to `scope`. */
export function enterScope(scope: RunScope): void {
  storage.enterWith(scope)
}

/** Where Node keeps the async context of a timer or an immediate: on Node 20 and 22 under a symbol of the storage, later in
 *  the frame that V8 carries (lib/internal/async_local_storage, lib/internal/timers.js; tested on 20 to 26). */
const { kResourceStore } = storage as unknown as { readonly kResourceStore?: symbol }
let frameKey: symbol | undefined

/** The scope in which a timer or an immediate was started. */
export function scopeOf(timer: object): RunScope | undefined {
  const carried = timer as Readonly<Record<symbol, unknown>>
  if (kResourceStore !== undefined) return carried[kResourceStore] as RunScope | undefined
  frameKey ??= Object.getOwnPropertySymbols(timer).find(
    ({ description }) => description === 'kAsyncContextFrame',
  )
  const frame = frameKey === undefined ? undefined : carried[frameKey]
  return (frame as ReadonlyMap<unknown, RunScope> | undefined)?.get(storage)
}

/** From now on Node calls the callback of `timer` in `scope`. */
export function moveTimer(timer: object, scope: RunScope): void {
  const carried = timer as Record<symbol, unknown>
  if (kResourceStore !== undefined) {
    carried[kResourceStore] = scope
    return
  }
  const sample = storage.run(scope, () => nodesSetTimeout(() => {}, 1))
  if (scopeOf(sample) === scope && frameKey !== undefined)
    carried[frameKey] = (sample as unknown as Record<symbol, unknown>)[frameKey]
  clearTimeout(sample)
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

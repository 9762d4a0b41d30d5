// Placement `shared`: the worker lives in the supervisor's own event loop, told apart by async context.

import type { Clock, Random } from '../../base/clock.ts'
import { ByreError, describeThrown } from '../../base/errors.ts'
import type { Scheduler } from '../../base/scheduler.ts'
import type { ScopedBus } from '../../bus/bus.ts'
import type { ResolvedWorker } from '../../config/types.ts'
import type { Logger } from '../../log/logger.ts'
import { createContext } from '../../worker/context.ts'
import type { WorkerModule } from '../../worker/contract.ts'
import { loadWorker } from '../../worker/load.ts'
import type { Offloader } from '../../worker/offload.ts'
import type { ResourcePool } from '../../worker/resources.ts'
import { StopReason } from '../../worker/stop-reason.ts'
import { createRunScope, enter, noteLoading, runInScope, strayIn } from '../attribution/run-scope.ts'
import type { ExitCall, RunScope } from '../attribution/run-scope.ts'
import { asExitTrap } from '../attribution/guard-exit.ts'
import { closeLeakedServers, isAttached } from '../attribution/wrap-events.ts'
import { clearLeakedTimers } from '../attribution/wrap-timers.ts'
import { causeOf, DONE, exitCalled, loadExit, rejectedExit, strayExit } from './exits.ts'
import type { Exit, Instance, LaunchRequest, Leftovers, Placement } from './placement.ts'

export interface SharedParts {
  readonly clock: Clock
  readonly random: Random
  readonly scheduler: Scheduler
  readonly resources: ResourcePool
  readonly offloader: Offloader
  readonly logOf: (worker: string) => Logger
  /** A bus scoped to one run; kept deliveries are claimed from and returned to the worker's mailbox. */
  readonly busOf: (worker: string) => ScopedBus
  readonly output: (worker: string, stream: 'stdout' | 'stderr', chunk: string | Uint8Array) => void
}

/** What the supervisor needs besides: the current run of a worker, for attribution by stack. */
export interface SharedPlacement extends Placement {
  runOf(worker: string): RunScope | undefined
}

const LEFTOVERS_NAMED_MAX = 20

export function createSharedPlacement(parts: SharedParts): SharedPlacement {
  const loader = createLoader()
  const current = new Map<string, RunScope>()
  const moduleEnvs = new Map<string, Environment>()
  return {
    runOf: (worker) => current.get(worker),
    launch: (request) => launchShared(request, parts, loader, current, moduleEnvs),
  }
}

type Load = (spec: ResolvedWorker) => Promise<{ run: WorkerModule['run']; loadMs: number; rssBytes: number }>

/** One module instance per worker and process: restarts call run() of the same one; failed loads get a fresh URL. */
function createLoader(): Load {
  const loaded = new Map<string, { run: WorkerModule['run']; loadMs: number; rssBytes: number }>()
  const attempts = new Map<string, { count: number; cause: unknown }>()
  return async (spec) => {
    const path = spec.source.path
    const key = `${spec.name}\0${path}`
    const known = loaded.get(key)
    if (known !== undefined) return { ...known, loadMs: 0, rssBytes: 0 }
    const before = attempts.get(key)
    const count = before?.count ?? 0
    // Counted before the import settles: a load that hangs is not joined by the next one.
    attempts.set(key, { count: count + 1, cause: before?.cause })
    try {
      const result = await loadWorker(spec.name, path, count)
      loaded.set(key, result)
      return result
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      attempts.set(key, { count: count + 1, cause })
      // The same error object from a fresh URL can only come from a dependency's cache.
      const cached = typeof cause === 'object' && cause !== null && before?.cause === cause
      throw cached ? new NeedsNewProcess(error as Error) : error
    }
  }
}

class NeedsNewProcess extends ByreError {
  constructor(error: Error) {
    super(
      'BYRE_WORKER_LOAD',
      `${error.message} (thrown by a dependency that stays failed: needs a new process)`,
      { cause: error.cause },
    )
  }
}

function launchShared(
  request: LaunchRequest,
  parts: SharedParts,
  load: Load,
  current: Map<string, RunScope>,
  moduleEnvs: Map<string, Environment>,
): Instance {
  const { spec, events } = request
  const abort = new AbortController()
  const releases: (() => void)[] = []
  let bus: ScopedBus | undefined
  let run: WorkerModule['run'] | undefined
  let leftovers: Leftovers | undefined

  const log = (): Logger => parts.logOf(spec.name)
  const tellSwallowed = (call: ExitCall): void => {
    if (call.surfaced) return
    call.surfaced = true
    log().warn(
      { event: 'exit-swallowed', code: call.code },
      'what process.exit threw was swallowed; the worker was ended all the same',
    )
  }
  const outside = (fn: () => void): void => {
    // A run that was let go of is not heard any more; the runner has moved on.
    if (leftovers === undefined) runInScope(undefined, fn)
  }
  const scope = createRunScope(spec.name, request.index, request.run, {
    stray: (error, via) => {
      if (leftovers !== undefined)
        log().warn(
          { event: 'late-error', via, ...describeThrown(error) },
          'error of a run that has ended already',
        )
      else outside(() => events.charged(strayExit(error, via, request.run)))
    },
    exitCalled: (code, earlier) => {
      if (leftovers !== undefined)
        log().warn({ event: 'late-exit', code }, 'process.exit of a run that has ended already')
      else if (earlier !== undefined) tellSwallowed(earlier)
      else outside(() => events.charged(exitCalled(code)))
    },
    touched: (kind, what) => log().warn({ event: 'process-touched', kind }, what),
    output: (stream, chunk) => parts.output(spec.name, stream, chunk),
  })
  scope.env = copyOf(moduleEnvs.get(spec.name))
  current.set(spec.name, scope)

  const loading = noteLoading(scope)
  void enter(scope, async () => load(spec)).then(
    (loaded) =>
      outside(() => {
        loading?.done()
        run = loaded.run
        belongsToModule(scope, moduleEnvs)
        events.loaded({ ms: loaded.loadMs, rssBytes: loaded.rssBytes })
      }),
    (error: unknown) =>
      outside(() => events.ended(settled(error) ?? loadExit(error, error instanceof NeedsNewProcess))),
  )

  const start = (): void => {
    bus = parts.busOf(spec.name)
    const ctx = createContext({
      name: spec.name,
      config: spec.config,
      env: spec.env,
      signal: abort.signal,
      log: parts.logOf(spec.name),
      wake: request.wake,
      bus,
      resources: parts.resources,
      offloader: parts.offloader,
      scheduler: parts.scheduler,
      monotonic: parts.clock.monotonic,
      random: parts.random,
      onReady: () => outside(events.ready),
      onEnd: (release) => releases.push(release),
      runAs: async (via, fn) => {
        try {
          await enter(scope, async () => fn())
        } catch (error) {
          strayIn(scope, error, via)
        }
      },
    })
    const result = settle(scope, () => run?.(ctx))
    if (spec.ready === 'start' && !result.threw) outside(events.ready)
    void result.promise.then(
      () => outside(() => events.ended(settled(undefined) ?? DONE)),
      (error: unknown) => outside(() => events.ended(settled(error) ?? rejectedExit(error, abort.signal))),
    )
  }

  /** The exit of a run that called process.exit, whatever it settled with. */
  const settled = (error: unknown): Exit | undefined => {
    const trap = asExitTrap(error) ?? asExitTrap(causeOf(error))
    if (trap !== undefined) trap.call.surfaced = true
    return scope.exit === undefined ? undefined : exitCalled(scope.exit.code)
  }

  // An abort listener that throws reaches uncaughtException with the context of this call: the worker's own.
  const abortWith = (reason: StopReason): void => {
    if (abort.signal.aborted) return
    enter(scope, () => abort.abort(reason))
    // Its loops over messages end with the signal, whether or not they were given it.
    bus?.closeSubscriptions()
  }

  return {
    run: start,
    abort: abortWith,
    release: () => {
      if (leftovers !== undefined) return leftovers
      abortWith(new StopReason('stop', 'supervisor', 'The run has ended'))
      for (const release of releases.reverse()) release()
      bus?.closeAll()
      loading?.done()
      // Dependencies of a module that failed stay in Node's cache and serve the siblings: theirs is not cleared.
      leftovers = scope.loading ? NOTHING_LEFT : collectLeftovers(scope)
      scope.ended = true
      // What a promise chain rejects with is told by Node only after the microtasks, so it is asked for a turn later.
      if (scope.exit !== undefined) setImmediate(tellSwallowed, scope.exit)
      if (current.get(spec.name) === scope) current.delete(spec.name)
      return leftovers
    },
  }
}

type Environment = ReadonlyMap<string, string | undefined>

function copyOf(env: Environment | undefined): Map<string, string | undefined> | undefined {
  return env === undefined ? undefined : new Map(env)
}

/** What the module set up while it loaded is not evaluated again for the next run, so it does not end with this one. */
function belongsToModule(scope: RunScope, moduleEnvs: Map<string, Environment>): void {
  if (!scope.loading) return
  scope.loading = false
  scope.timers.clear()
  scope.timersUntracked = 0
  scope.foreignListeners = []
  if (scope.env !== undefined) moduleEnvs.set(scope.worker, new Map(scope.env))
}

/** Calls `fn` in the scope, telling a synchronous throw apart from a rejection. */
function settle(
  scope: RunScope,
  fn: () => unknown,
): { readonly promise: Promise<unknown>; readonly threw: boolean } {
  try {
    // Resolved inside: a thenable that run() returned is called as the worker, not as nobody.
    return { promise: enter(scope, () => Promise.resolve(fn())), threw: false }
  } catch (error) {
    return { promise: Promise.reject(error), threw: true }
  }
}

const NOTHING_LEFT: Leftovers = { timers: [], listeners: [], servers: [] }

function collectLeftovers(scope: RunScope): Leftovers {
  const timers = clearLeakedTimers(scope)
  if (scope.timersUntracked > 0) timers.push(`${scope.timersUntracked} more that were not tracked`)
  const listeners: string[] = []
  for (const entry of scope.foreignListeners) {
    if (!isAttached(entry)) continue
    listeners.push(`${entry.name}.on('${String(entry.event)}')`)
    entry.remove()
  }
  scope.foreignListeners = []
  const named = (names: string[]): string[] => names.slice(0, LEFTOVERS_NAMED_MAX)
  return { timers: named(timers), listeners: named(listeners), servers: named(closeLeakedServers(scope)) }
}

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
import { createRunScope, enter, runInScope, strayIn } from '../attribution/run-scope.ts'
import type { RunScope } from '../attribution/run-scope.ts'
import { isAttached } from '../attribution/wrap-events.ts'
import { clearLeakedTimers } from '../attribution/wrap-timers.ts'
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
  return {
    runOf: (worker) => current.get(worker),
    launch: (request) => launchShared(request, parts, loader, current),
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
): Instance {
  const { spec, events } = request
  const abort = new AbortController()
  const releases: (() => void)[] = []
  let bus: ScopedBus | undefined
  let run: WorkerModule['run'] | undefined
  let leftovers: Leftovers | undefined

  const outside = (fn: () => void): void => {
    // A run that was let go of is not heard any more; the runner has moved on.
    if (leftovers === undefined) runInScope(undefined, fn)
  }
  const scope = createRunScope(spec.name, request.index, request.run, {
    stray: (error, via) => {
      if (leftovers !== undefined)
        parts
          .logOf(spec.name)
          .warn(
            { event: 'late-error', via, ...describeThrown(error) },
            'error of a run that has ended already',
          )
      else outside(() => events.charged(strayExit(error, via, scope)))
    },
    exitCalled: (code, repeated) => {
      const log = parts.logOf(spec.name)
      if (leftovers !== undefined || repeated)
        log.warn(
          { event: 'exit-swallowed', code },
          'called process.exit after the throw of an earlier call was swallowed',
        )
      else outside(() => events.charged(exitCalled(code)))
    },
    touched: (kind, what) => parts.logOf(spec.name).warn({ event: 'process-touched', kind }, what),
    output: (stream, chunk) => parts.output(spec.name, stream, chunk),
  })
  current.set(spec.name, scope)

  void enter(scope, async () => load(spec)).then(
    (loaded) =>
      outside(() => {
        run = loaded.run
        events.loaded({ ms: loaded.loadMs, rssBytes: loaded.rssBytes })
      }),
    (error: unknown) => outside(() => events.ended(loadExit(error, scope))),
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
      () => outside(() => events.ended(scope.exitCode === undefined ? DONE : exitCalled(scope.exitCode))),
      (error: unknown) => outside(() => events.ended(rejectedExit(error, scope, abort.signal))),
    )
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
      leftovers = collectLeftovers(scope)
      scope.ended = true
      if (current.get(spec.name) === scope) current.delete(spec.name)
      return leftovers
    },
  }
}

/** Calls `fn` in the scope, telling a synchronous throw apart from a rejection. */
function settle(
  scope: RunScope,
  fn: () => unknown,
): { readonly promise: Promise<unknown>; readonly threw: boolean } {
  try {
    return { promise: Promise.resolve(enter(scope, fn)), threw: false }
  } catch (error) {
    return { promise: Promise.reject(error), threw: true }
  }
}

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
  return { timers: timers.slice(0, LEFTOVERS_NAMED_MAX), listeners: listeners.slice(0, LEFTOVERS_NAMED_MAX) }
}

const DONE: Exit = { verdict: 'done', text: 'run() resolved', evidence: {} }

function strayExit(error: unknown, via: string, scope: RunScope): Exit {
  const thrown = describeThrown(error)
  const text = `stray ${via === 'unhandledRejection' ? 'rejection' : `throw in ${via}`}: ${thrown.type}: ${thrown.message}`
  return { verdict: 'threw-stray', text, evidence: { via, run: scope.run, ...evidenceOf(error) } }
}

function rejectedExit(error: unknown, scope: RunScope, signal: AbortSignal): Exit {
  if (scope.exitCode !== undefined) return exitCalled(scope.exitCode)
  if (signal.aborted && (error === signal.reason || isAbort(error))) {
    return { verdict: 'stopped', text: 'run() ended with its signal', evidence: {} }
  }
  const thrown = describeThrown(error)
  return {
    verdict: 'failed',
    text: `run() rejected: ${thrown.type}: ${thrown.message}`,
    evidence: evidenceOf(error),
  }
}

function isAbort(error: unknown): boolean {
  try {
    return (error as { name?: unknown } | null)?.name === 'AbortError'
  } catch {
    return false
  }
}

function loadExit(error: unknown, scope: RunScope): Exit {
  if (scope.exitCode !== undefined) return exitCalled(scope.exitCode)
  const text = error instanceof Error ? error.message : describeThrown(error).message
  return {
    verdict: 'launch-failed',
    text,
    evidence: evidenceOf(error),
    ...(error instanceof NeedsNewProcess ? { fatal: true } : {}),
  }
}

function exitCalled(code: number): Exit {
  return code === 0
    ? { verdict: 'done', text: 'process.exit(0)', evidence: { code } }
    : { verdict: 'failed', text: `process.exit(${code})`, evidence: { code } }
}

const CAUSES_MAX = 5

/** Type, message, stack and the chain of causes; hostile values are named instead of read. */
function evidenceOf(error: unknown): Record<string, unknown> {
  const causes: string[] = []
  let cause: unknown = error
  for (let depth = 0; depth < CAUSES_MAX; depth++) {
    try {
      cause = cause instanceof Error ? cause.cause : undefined
    } catch {
      break // a `cause` getter that throws ends the chain
    }
    if (cause === undefined) break
    const { type, message } = describeThrown(cause)
    causes.push(`${type}: ${message}`)
  }
  return { ...describeThrown(error), ...(causes.length === 0 ? {} : { causes }) }
}

// Placement `shared`: the worker lives in the supervisor's own event loop, told apart by async context.

import { describeThrown } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { ScopedBus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'
import { createContext } from '../worker/context.ts'
import type { ContextHost, ContextOwner } from '../worker/context.ts'
import type { Wake } from '../worker/contract.ts'
import { StopReason } from '../worker/stop-reason.ts'
import { createRunScope, enter, noteLoading, runInScope, strayIn } from '../ownership/run-scope.ts'
import type { ExitCall, RunScope, ScopeSink } from '../ownership/run-scope.ts'
import { asExitTrap } from '../ownership/guard-exit.ts'
import { closeLeakedServers, isAttached } from '../ownership/wrap-events.ts'
import { clearLeakedTimers } from '../ownership/wrap-timers.ts'
import { GlobalReports } from '../ownership/global-changes.ts'
import { closeSetUp, keepSetUp } from '../ownership/set-up.ts'
import { reportClosedSetUp } from '../herd/leftovers.ts'
import { causeOf, DONE, exitCalled, loadExit, rejectedExit, strayExit } from './exits.ts'
import { LoadMeter } from './load-figures.ts'
import { Loader } from './loader.ts'
import type { LoadedWorker, LoadOutcome } from './loader.ts'
import type { LoadingModule } from '../watch/code-watch.ts'
import type { Exit, Instance, LaunchRequest, Leftovers, Placement } from '../herd/placement.ts'

export interface SharedParts extends ContextHost {
  readonly logOf: (worker: string) => Logger
  /** A bus scoped to one run; kept deliveries are claimed from and returned to the worker's mailbox. */
  readonly busOf: (worker: string) => ScopedBus
  readonly output: (worker: string, stream: 'stdout' | 'stderr', chunk: string | Uint8Array) => void
  /** For what no worker is known to have done. */
  readonly root: Pick<Logger, 'warn'>
  /** Globals that a worker replaces are named; not where a worker is alone in its process or thread. */
  readonly reportGlobals: boolean
  /** Is called before a module is loaded. */
  readonly loading?: (module: LoadingModule) => void
  /** Why the memory of the process is also that of another loop now; undefined when it is not. */
  readonly memoryShared: () => string | undefined
}

/** What the supervisor needs besides: the current run of a worker, for attribution by stack. */
export interface SharedPlacement extends Placement {
  runOf(worker: string): RunScope | undefined
}

const LEFTOVERS_NAMED_MAX = 20

export function createSharedPlacement(parts: SharedParts): SharedPlacement {
  const current = new Map<string, RunScope>()
  const meter = new LoadMeter(parts.memoryShared)
  const host: SharedHost = {
    parts,
    loader: new Loader({
      loading: parts.loading,
      measure: (worker) => meter.begin(worker, current.keys()),
    }),
    meter,
    current,
    moduleEnvs: new Map(),
    globals: parts.reportGlobals ? new GlobalReports(parts.root) : undefined,
  }
  return {
    runOf: (worker) => host.current.get(worker),
    launch: (request) => {
      const run = new SharedRun(request, host)
      run.load()
      return run
    },
  }
}

/** What all runs of one process share. */
interface SharedHost {
  readonly parts: SharedParts
  readonly loader: Loader
  readonly meter: LoadMeter
  readonly current: Map<string, RunScope>
  readonly moduleEnvs: Map<string, Environment>
  readonly globals: GlobalReports | undefined
}

/** One run of one worker: its instance, what its scope reports to, and what its ctx asks. One object with methods and
 *  not a bundle of closures, because a thousand loaded workers have one each. */
class SharedRun implements Instance, ScopeSink, ContextOwner, LoadOutcome {
  readonly #request: LaunchRequest
  readonly #host: SharedHost
  readonly #scope: RunScope
  readonly #abort = new AbortController()
  #releases: (() => void)[] | undefined
  #bus: ScopedBus | undefined
  #module: LoadedWorker | undefined
  #loading: { done(): void } | undefined
  /** Set once it was let go of. */
  #leftovers: Leftovers | undefined

  constructor(request: LaunchRequest, host: SharedHost) {
    const { name } = request.spec
    this.#request = request
    this.#host = host
    this.#scope = createRunScope(name, request.index, request.run, this, request.spec.source.path)
    this.#scope.env = copyOf(host.moduleEnvs.get(name))
    host.current.set(name, this.#scope)
    host.meter.runs(name)
  }

  load(): void {
    const { events, spec } = this.#request
    const { loader, moduleEnvs } = this.#host
    this.#host.globals?.loadBegins(this.#scope)
    this.#loading = noteLoading(this.#scope)
    const { done, joined } = enter(this.#scope, () => loader.load(spec, this))
    done.then(
      () =>
        this.#outside(() => {
          this.#loaded()
          if (joined) inherit(this.#scope, moduleEnvs)
          this.#module = loader.take(spec)
          events.loaded(this.#module.figures)
        }),
      (error: unknown) => this.#outside(() => events.ended(this.#settled(error) ?? loadExit(error))),
    )
  }

  /* What becomes of the load that it has begun. */

  moduleLoaded(): void {
    belongsToModule(this.#scope, this.#host.moduleEnvs)
  }

  moduleFailed(): void {
    runInScope(undefined, () => reportClosedSetUp(this.log, closeSetUp(this.#scope.module)))
  }

  run(): void {
    const { spec, events } = this.#request
    this.#bus = this.#host.parts.busOf(spec.name)
    const ctx = createContext(this)
    const run = this.#module?.run
    const { globals } = this.#host
    globals?.codeBegins()
    const result = settle(this.#scope, () => run?.(ctx))
    globals?.codeRan(this.#scope, 'by its run()')
    if (spec.ready === 'start' && !result.threw) this.onReady()
    void result.promise.then(
      () => this.#outside(() => events.ended(this.#settled(undefined) ?? DONE)),
      (error: unknown) =>
        this.#outside(() => events.ended(this.#settled(error) ?? rejectedExit(error, this.signal))),
    )
  }

  // An abort listener that throws reaches uncaughtException with the context of this call: the worker's own.
  abort(reason: StopReason): void {
    if (this.signal.aborted) return
    enter(this.#scope, () => this.#abort.abort(reason))
    // Its loops over messages end with the signal, whether or not they were given it.
    this.#bus?.closeSubscriptions()
  }

  release(cause?: Exit): Leftovers {
    if (this.#leftovers !== undefined) return this.#leftovers
    const scope = this.#scope
    this.#host.globals?.codeRan(scope, 'while it ran')
    if (scope.loading && cause !== undefined) this.#host.loader.giveUp(this.#request.spec)
    this.abort(new StopReason('stop', 'supervisor', 'The run has ended'))
    for (const release of this.#releases?.reverse() ?? []) release()
    this.#bus?.closeAll()
    this.#loaded()
    this.#leftovers = scope.loading ? NOTHING_LEFT : collectLeftovers(scope)
    scope.ended = true
    const { exit } = scope
    // What a promise chain rejects with is told by Node only after the microtasks, so it is asked for a turn later.
    if (exit !== undefined) setImmediate(() => this.#tellSwallowed(exit))
    const { current } = this.#host
    if (current.get(scope.worker) === scope) current.delete(scope.worker)
    return this.#leftovers
  }

  /* What its scope reports. */

  stray(error: unknown, via: string): void {
    if (this.#scope.loading && this.#host.loader.cameUp(this.#request.spec, error)) return
    if (this.#leftovers === undefined) {
      this.#outside(() => this.#request.events.charged(strayExit(error, via, this.#request.run)))
      return
    }
    this.log.warn(
      { event: 'late-error', via, ...describeThrown(error) },
      'error of a run that has ended already',
    )
  }

  exitCalled(call: ExitCall, earlier: ExitCall | undefined): void {
    if (this.#leftovers !== undefined)
      this.log.warn({ event: 'late-exit', code: call.code }, 'process.exit of a run that has ended already')
    else if (earlier !== undefined) this.#tellSwallowed(earlier)
    else this.#outside(() => this.#request.events.charged(exitCalled(call)))
  }

  touched(kind: string, what: string): void {
    this.log.warn({ event: 'process-touched', kind }, what)
  }

  output(stream: 'stdout' | 'stderr', chunk: string | Uint8Array): void {
    this.#host.parts.output(this.name, stream, chunk)
  }

  /* What its ctx asks. */

  get name(): string {
    return this.#request.spec.name
  }
  get config(): Json {
    return this.#request.spec.config
  }
  get env(): Readonly<Record<string, string>> {
    return this.#request.spec.env
  }
  get signal(): AbortSignal {
    return this.#abort.signal
  }
  get log(): Logger {
    return this.#host.parts.logOf(this.name)
  }
  get fence(): number | undefined {
    return this.#request.fence
  }
  get wake(): Wake {
    return this.#request.wake
  }
  get bus(): ScopedBus {
    return this.#bus as ScopedBus
  }
  get host(): ContextHost {
    return this.#host.parts
  }

  onReady(): void {
    this.#outside(() => this.#request.events.ready())
  }

  onEnd(release: () => void): void {
    if (this.#leftovers !== undefined) return release() // it ended while code for it was loaded
    this.#releases ??= []
    this.#releases.push(release)
  }

  async runAs(via: string, fn: () => unknown): Promise<void> {
    try {
      await enter(this.#scope, async () => fn())
    } catch (error) {
      strayIn(this.#scope, error, via)
    }
  }

  #outside(fn: () => void): void {
    // A run that was let go of is not heard any more; the runner has moved on.
    if (this.#leftovers === undefined) runInScope(undefined, fn)
  }

  #loaded(): void {
    if (this.#loading === undefined) return
    this.#loading.done()
    this.#loading = undefined
    this.#host.globals?.loadEnds(this.#scope)
  }

  /** The exit of a run that called process.exit, whatever it settled with. */
  #settled(error: unknown): Exit | undefined {
    const trap = asExitTrap(error) ?? asExitTrap(causeOf(error))
    if (trap !== undefined) trap.call.surfaced = true
    const { exit } = this.#scope
    return exit === undefined ? undefined : exitCalled(exit)
  }

  #tellSwallowed(call: ExitCall): void {
    if (call.surfaced) return
    call.surfaced = true
    this.log.warn(
      { event: 'exit-swallowed', code: call.code },
      'what process.exit threw was swallowed; the worker was ended all the same',
    )
  }
}

type Environment = ReadonlyMap<string, string | undefined>

function copyOf(env: Environment | undefined): Map<string, string | undefined> | undefined {
  return env === undefined ? undefined : new Map(env)
}

/** What the module set up while it loaded is not evaluated again for the next run, so it does not end with this one. */
function belongsToModule(scope: RunScope, moduleEnvs: Map<string, Environment>): void {
  scope.loading = false
  keepSetUp(scope.module)
  scope.foreignListeners = undefined
  if (scope.env !== undefined) moduleEnvs.set(scope.worker, new Map(scope.env))
}

/** The module was loaded in the scope of an earlier run. */
function inherit(scope: RunScope, moduleEnvs: Map<string, Environment>): void {
  scope.loading = false
  scope.env = copyOf(moduleEnvs.get(scope.worker))
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
  const listeners: string[] = []
  for (const entry of scope.foreignListeners ?? []) {
    if (!isAttached(entry)) continue
    listeners.push(`${entry.name}.on('${String(entry.event)}')`)
    entry.remove()
  }
  scope.foreignListeners = undefined
  const named = (names: string[]): string[] => names.slice(0, LEFTOVERS_NAMED_MAX)
  return { timers: named(timers), listeners: named(listeners), servers: named(closeLeakedServers(scope)) }
}

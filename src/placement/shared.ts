// Placement `shared`: workers run in one event loop, that of the supervisor, and async context tells them apart. A child
// uses it too, for its only worker.

import { describeThrown } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { ScopedBus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'
import { createContext } from '../worker/context.ts'
import type { ContextServices, ContextOwner } from '../worker/context.ts'
import type { Wake } from '../worker/contract.ts'
import { StopReason } from '../worker/stop-reason.ts'
import { createRunScope, enter, noteLoading, runInScope, strayIn } from '../ownership/run-scope.ts'
import type { ChildrenSink, ExitCall, RunScope, ScopeSink } from '../ownership/run-scope.ts'
import { endScope } from '../ownership/end-scope.ts'
import { asExitTrap } from '../ownership/guard-exit.ts'
import { reportLate } from '../ownership/strays.ts'
import { GlobalReports } from '../ownership/global-changes.ts'
import { deliverSignal, emitEnd } from '../ownership/process-events.ts'
import { LoadScopes } from './load-scopes.ts'
import type { ChildrenOf } from './load-scopes.ts'
import { causeOf, DONE, exitCalled, loadExit, rejectedExit, strayExit } from './exits.ts'
import { Loader, LoadMeter } from './loader.ts'
import type { LoadedWorker, LoadOutcome } from './loader.ts'
import type { LoadingModule } from '../watch/code-watch.ts'
import type { Exit, Instance, LaunchRequest, Leftovers, Placement } from '../herd/placement.ts'

/** What a run in the shared loop uses of its process. */
export interface SharedServices {
  /** For the workers' ctx. */
  readonly context: ContextServices
  readonly logOf: (worker: string) => Logger
  /** A bus scoped to one run; kept deliveries are claimed from and returned to the worker's mailbox. */
  readonly busOf: (worker: string) => ScopedBus
  readonly output: (worker: string, stream: 'stdout' | 'stderr', chunk: string | Uint8Array) => void
}

export interface SharedOptions {
  /** Why another loop shares the memory of the process now; undefined when none does. */
  readonly memoryShared: () => string | undefined
  /** Called before a module is loaded. */
  readonly onLoad?: (module: LoadingModule) => void
  /** Logs replaced globals of which the worker is unknown. Absent where a worker has the process or thread to itself: there
   *  replaced globals are not reported. */
  readonly globalsLog?: Pick<Logger, 'warn'> | undefined
  /** Absent in a process of its own: what it has started ends with it, from outside. */
  readonly childrenOf?: ChildrenOf | undefined
}

export interface SharedPlacement extends Placement {
  /** The current run of a worker, for attribution by stack. */
  runOf(worker: string): RunScope | undefined
  retire(spec: ResolvedWorker): void
}

export function createSharedPlacement(
  services: SharedServices,
  { memoryShared, onLoad, globalsLog, childrenOf }: SharedOptions,
): SharedPlacement {
  const current = new Map<string, RunScope>()
  const meter = new LoadMeter(memoryShared)
  const host: SharedHost = {
    services,
    loader: new Loader(onLoad, (worker) => meter.begin(worker, current.keys())),
    loads: new LoadScopes({ ...services, childrenOf, runOf: (worker) => current.get(worker) }),
    meter,
    current,
    globals: globalsLog === undefined ? undefined : new GlobalReports(globalsLog),
    childrenOf,
  }
  return {
    runOf: (worker) => host.current.get(worker),
    launch: (request) => {
      const run = new SharedRun(request, host)
      run.load()
      return run
    },
    retire(spec) {
      if (host.loads.end(spec.name)) host.loader.renew(spec)
    },
  }
}

/** What all runs of one loop share. */
interface SharedHost {
  readonly services: SharedServices
  readonly loader: Loader
  readonly loads: LoadScopes
  readonly meter: LoadMeter
  readonly current: Map<string, RunScope>
  readonly globals: GlobalReports | undefined
  readonly childrenOf: ChildrenOf | undefined
}

/** One run of one worker: its instance, the sink of its scope and the owner of its ctx. One object with methods instead of a
 *  set of closures, because each of a thousand loaded workers has one. */
class SharedRun implements Instance, ScopeSink, ContextOwner {
  readonly #request: LaunchRequest
  readonly #host: SharedHost
  readonly #scope: RunScope
  readonly #abort = new AbortController()
  #releases: (() => void)[] | undefined
  #bus: ScopedBus | undefined
  #children: ChildrenSink | undefined
  #module: LoadedWorker | undefined
  #loading: { done(): void } | undefined
  /** The first call of process.exit, which determines the exit. */
  #exit: ExitCall | undefined
  /** How the run has ended so far, for its handlers of 'exit'. */
  #end: 'resolved' | 'failed' | undefined
  /** Its handlers of 'exit' are being called: nothing can end it any more. */
  #ending = false
  /** Set by release(). */
  #leftovers: Leftovers | undefined

  constructor(request: LaunchRequest, host: SharedHost) {
    const { name } = request.spec
    this.#request = request
    this.#host = host
    this.#scope = createRunScope(name, request.index, request.run, this, request.spec.source.path)
    host.current.set(name, this.#scope)
    host.meter.runs(name)
  }

  load(): void {
    const { events, spec, index, run } = this.#request
    const { loader, loads } = this.#host
    this.#host.globals?.loadBegins(this.#scope)
    this.#loading = noteLoading(this.#scope)
    const begins = loader.begins(spec)
    const load = begins ? loads.begin(spec, index, run) : loads.of(spec, index, run)
    this.#scope.load = load
    const outcome: LoadOutcome = {
      moduleLoaded: () => loads.loaded(load),
      moduleFailed: () => loads.failed(load),
    }
    enter(load, () => loader.load(spec, outcome)).then(
      () =>
        this.#outside(() => {
          this.#loaded()
          inherit(this.#scope, load)
          this.#module = loader.take(spec)
          events.loaded(this.#module.figures)
        }),
      (error: unknown) => this.#outside(() => events.ended(this.#exitOf(error) ?? loadExit(error))),
    )
  }

  run(): void {
    const { spec, events } = this.#request
    this.#bus = this.#host.services.busOf(spec.name)
    const ctx = createContext(this)
    const run = this.#module?.run
    const { globals } = this.#host
    globals?.codeBegins()
    const result = call(this.#scope, () => run?.(ctx))
    globals?.codeRan(this.#scope, 'by its run()')
    if (spec.ready === 'start' && !result.threw) this.onReady()
    void result.promise.then(
      () =>
        this.#outside(() => {
          this.#end ??= 'resolved'
          events.ended(this.#exitOf(undefined) ?? DONE)
        }),
      (error: unknown) =>
        this.#outside(() => {
          if (!this.signal.aborted) this.#end ??= 'failed'
          events.ended(this.#exitOf(error) ?? rejectedExit(error, this.signal))
        }),
    )
  }

  // What an abort listener throws reaches 'uncaughtException' with the context of this call, which is the worker's.
  abort(reason: StopReason): void {
    if (this.signal.aborted) return
    this.#abortSignal(reason)
    if (!OWN_ENDS.has(reason.kind)) deliverSignal(this.#scope, 'SIGTERM')
  }

  #abortSignal(reason: StopReason): void {
    if (this.signal.aborted) return
    enter(this.#scope, () => this.#abort.abort(reason))
    // Loops over messages end with the signal even when they were not passed it.
    this.#bus?.closeSubscriptions()
  }

  release(cause?: Exit): Leftovers {
    if (this.#leftovers !== undefined) return this.#leftovers
    const scope = this.#scope
    this.#host.globals?.codeRan(scope, 'while it ran')
    if (this.#module === undefined && cause !== undefined) this.#host.loader.giveUp(this.#request.spec)
    const natural = this.#end === 'resolved' && !this.signal.aborted && this.#exit === undefined
    this.#abortSignal(new StopReason('stop', 'supervisor', 'The run has ended'))
    for (const release of this.#releases?.reverse() ?? []) release()
    this.#bus?.closeAll()
    this.#loaded()
    if (this.#module !== undefined) this.#callExitHandlers(natural)
    this.#leftovers = endScope(scope)
    const exit = this.#exit
    // Node reports the rejection of a promise chain only after the microtasks, so check one turn later.
    if (exit !== undefined) setImmediate(() => this.#warnSwallowed(exit))
    const { current } = this.#host
    if (current.get(scope.worker) === scope) current.delete(scope.worker)
    return this.#leftovers
  }

  /* ScopeSink: reports of its scope. */

  stray(error: unknown, via: string): void {
    if (this.#module === undefined && this.#host.loader.surfaced(this.#request.spec, error)) return
    if (this.#leftovers === undefined) {
      this.#end = 'failed'
      this.#outside(() => this.#request.events.charged(strayExit(error, via, this.#request.run)))
      return
    }
    reportLate(this.log, error, via)
  }

  exitCalled(call: ExitCall): void {
    if (this.#ending) return
    const earlier = this.#exit
    this.#exit ??= call
    if (this.#leftovers !== undefined)
      this.log.warn({ event: 'late-exit', code: call.code }, 'process.exit of a run that has already ended')
    else if (earlier !== undefined) this.#warnSwallowed(earlier)
    else {
      if (!this.signal.aborted) this.#outside(() => this.#request.events.charged(exitCalled(call)))
      // Like a process, the run ends now, whether its promise settles or not; what the error unwinds runs first.
      runInScope(undefined, () =>
        setImmediate(() => this.#outside(() => this.#request.events.ended(exitCalled(call)))),
      )
    }
  }

  touched(kind: string, what: string): void {
    this.log.warn({ event: 'process-touched', kind }, what)
  }

  output(stream: 'stdout' | 'stderr', chunk: string | Uint8Array): void {
    this.#host.services.output(this.name, stream, chunk)
  }

  get children(): ChildrenSink | undefined {
    return (this.#children ??= this.#host.childrenOf?.(this.#request.spec))
  }

  /* ContextOwner: values of its ctx. */

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
    return this.#host.services.logOf(this.name)
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
  get services(): ContextServices {
    return this.#host.services.context
  }

  onReady(): void {
    this.#outside(() => this.#request.events.ready())
  }

  onEnd(release: () => void): void {
    if (this.#leftovers !== undefined) return release() // the run ended while a part of its ctx was loaded
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
    // A released run reports nothing: its runner has moved on.
    if (this.#leftovers === undefined) runInScope(undefined, fn)
  }

  #loaded(): void {
    if (this.#loading === undefined) return
    this.#loading.done()
    this.#loading = undefined
    this.#host.globals?.loadEnds(this.#scope)
  }

  /** The exit of a run that called process.exit, whether its promise resolved or rejected. */
  #exitOf(error: unknown): Exit | undefined {
    const trap = asExitTrap(error) ?? asExitTrap(causeOf(error))
    if (trap !== undefined) trap.call.surfaced = true
    return this.#exit === undefined ? undefined : exitCalled(this.#exit)
  }

  #callExitHandlers(natural: boolean): void {
    this.#ending = true
    const code = this.#exit?.code ?? (this.#end === 'failed' ? 1 : Number(process.exitCode ?? 0))
    emitEnd(this.#scope, { code, natural }, (error, event) => {
      if (asExitTrap(error) === undefined)
        this.log.warn(
          { event: 'exit-handler-failed', handler: event, ...describeThrown(error) },
          `a handler of '${event}' threw when the run ended`,
        )
    })
  }

  #warnSwallowed(call: ExitCall): void {
    if (call.surfaced) return
    call.surfaced = true
    this.log.warn(
      { event: 'exit-swallowed', code: call.code },
      'the worker caught the error that process.exit threw; it was ended all the same',
    )
  }
}

/** Ends that the worker itself has caused: nobody sends a signal to a program that has failed. */
const OWN_ENDS: ReadonlySet<string> = new Set(['failed', 'process-exit', 'start-timeout'])

/** A run finds its process as its module has left it; for the environment see own-environment.ts. */
function inherit({ own }: RunScope, load: RunScope): void {
  const { argv, capture, streams } = load.own
  own.argv = argv?.slice()
  own.capture = capture
  own.streams = streams
}

/** Calls `fn` in the scope. `threw`: it threw synchronously instead of returning a promise that rejects. */
function call(
  scope: RunScope,
  fn: () => unknown,
): { readonly promise: Promise<unknown>; readonly threw: boolean } {
  try {
    // Resolved inside the scope: `then` of a thenable that run() returned is called in the worker's context.
    return { promise: enter(scope, () => Promise.resolve(fn())), threw: false }
  } catch (error) {
    return { promise: Promise.reject(error), threw: true }
  }
}

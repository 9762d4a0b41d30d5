// The scope of each worker's module in the shared loop: its code runs on in it after the load, whatever run is current.

import { describeThrown } from '../base/errors.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { reportClosedSetUp } from '../herd/leftovers.ts'
import type { Logger } from '../log/logger.ts'
import { endScope } from '../ownership/end-scope.ts'
import { moduleScope } from '../ownership/evaluation.ts'
import { createRunScope, runInScope } from '../ownership/run-scope.ts'
import type { ChildrenSink, RunScope, ScopeSink } from '../ownership/run-scope.ts'

/** What happens with the child processes that a worker starts. */
export type ChildrenOf = (worker: ResolvedWorker) => ChildrenSink

interface Services {
  readonly logOf: (worker: string) => Logger
  readonly output: (worker: string, stream: 'stdout' | 'stderr', chunk: string | Uint8Array) => void
  readonly childrenOf: ChildrenOf | undefined
  /** The current run of a worker. */
  readonly runOf: (worker: string) => RunScope | undefined
}

/** One scope for each module, from the beginning of its load on. */
export class LoadScopes {
  readonly #services: Services
  readonly #scopes = new Map<string, RunScope>()

  constructor(services: Services) {
    this.#services = services
  }

  /** The scope of a load that begins now, by run number `run`. */
  begin(spec: ResolvedWorker, index: number, run: number): RunScope {
    const scope = createRunScope(spec.name, index, run, this.#sinkOf(spec), spec.source.path, 'load')
    this.#scopes.set(spec.name, scope)
    return scope
  }

  /** The scope of the load that is pending or done. */
  of(spec: ResolvedWorker, index: number, run: number): RunScope {
    return this.#scopes.get(spec.name) ?? this.begin(spec, index, run)
  }

  loaded(load: RunScope): void {
    load.loading = false
    if (load.module !== undefined) load.module.loading = false
  }

  /** Closes what the entry module has set up, and from now on what its code still sets up. */
  failed(load: RunScope): void {
    const closed = endScope(moduleScope(load))
    runInScope(undefined, () =>
      reportClosedSetUp(this.#services.logOf(load.worker), closed, 'the load failed'),
    )
  }

  /** The worker stops: closes what its entry module has set up. Returns whether there was anything, because then the next
   *  start has to evaluate the module again. */
  end(worker: string): boolean {
    const load = this.#scopes.get(worker)
    if (load?.module === undefined || load.loading) return false
    const closed = endScope(load.module)
    this.#scopes.delete(worker)
    return reportClosedSetUp(this.#services.logOf(worker), closed, 'the worker stopped') || closed.children
  }

  /** Reports belong to the current run of the worker. */
  #sinkOf(spec: ResolvedWorker): ScopeSink {
    const { runOf, logOf, output, childrenOf } = this.#services
    const { name: worker } = spec
    let children: ChildrenSink | undefined
    const log = (): Logger => logOf(worker)
    return {
      stray(error, via) {
        const run = runOf(worker)
        if (run !== undefined) run.sink.stray(error, via)
        else
          log().warn(
            { event: 'late-error', via, ...describeThrown(error) },
            'error of the module of a worker that does not run',
          )
      },
      exitCalled(call) {
        const run = runOf(worker)
        if (run !== undefined) run.sink.exitCalled(call)
        else
          log().warn(
            { event: 'late-exit', code: call.code },
            'process.exit by the module of a worker that does not run',
          )
      },
      touched: (kind, what) => log().warn({ event: 'process-touched', kind }, what),
      output: (stream, chunk) => output(worker, stream, chunk),
      get children() {
        return (children ??= childrenOf?.(spec))
      },
    }
  }
}

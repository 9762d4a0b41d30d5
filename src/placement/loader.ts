// The modules of the workers of one loop: each is loaded once, and again after a load that failed.

import { describeThrown } from '../base/errors.ts'
import { noteLoaded } from '../base/module-path.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { WorkerModule } from '../worker/contract.ts'
import { fileOf, LoadError, loadWorker } from '../worker/load.ts'
import type { LoadFigures } from '../herd/placement.ts'
import type { LoadingModule } from '../watch/code-watch.ts'

export interface LoadedWorker {
  readonly run: WorkerModule['run']
  /** Of its load; undefined once they were taken. */
  readonly figures: LoadFigures | undefined
}

/** What becomes of a load, or became of an earlier one; one of the two is called, once, also after the end of the run. */
export interface LoadOutcome {
  moduleLoaded(): void
  /** What it has set up is not to go on, and what it still does is not either. */
  moduleFailed(): void
}

export interface LoaderDeps {
  /** Is called before a module is loaded. */
  readonly loading: ((module: LoadingModule) => void) | undefined
  /** The load of a worker's module begins; the result is called at its end. */
  readonly measure: (worker: string) => () => LoadFigures
}

interface PendingLoad {
  readonly done: Promise<void>
  readonly outcome: LoadOutcome
}

/** One module instance per worker and process: restarts call run() of the same one; failed loads get a fresh URL. */
export class Loader {
  readonly #loaded = new Map<string, LoadedWorker>()
  readonly #pending = new Map<string, PendingLoad>()
  readonly #failed = new Map<string, { readonly count: number; readonly cause: unknown }>()
  /** What failed loads threw, in this process. */
  readonly #thrown = new WeakSet()
  /** Loads under way in which such an error came up again. */
  readonly #hollow = new Map<string, unknown>()
  readonly #deps: LoaderDeps

  constructor(deps: LoaderDeps) {
    this.#deps = deps
  }

  /**
   * Resolves once `take` gives the module. A load that is under way is joined: true when it was not begun by this call.
   * `outcome` is of a load that this call begins.
   */
  load(
    spec: ResolvedWorker,
    outcome: LoadOutcome,
  ): { readonly done: Promise<void>; readonly joined: boolean } {
    const key = keyOf(spec)
    if (this.#loaded.has(key)) {
      outcome.moduleLoaded()
      return { done: Promise.resolve(), joined: false }
    }
    const under = this.#pending.get(key)
    if (under !== undefined) return { done: under.done, joined: true }
    const done = this.#import(spec, key, () => this.#pending.get(key)?.done === done)
    this.#pending.set(key, { done, outcome })
    return { done, joined: false }
  }

  /** With the figures for the first run that takes it: for the runs after it was not loaded. */
  take(spec: ResolvedWorker): LoadedWorker {
    const key = keyOf(spec)
    const loaded = this.#loaded.get(key) as LoadedWorker
    if (loaded.figures !== undefined) this.#loaded.set(key, { run: loaded.run, figures: undefined })
    return loaded
  }

  /** The load under way has failed, whatever becomes of it: it hangs, or threw on the side. The next one is a new one. */
  giveUp(spec: ResolvedWorker): void {
    const key = keyOf(spec)
    if (this.#pending.has(key)) this.#fail(key, this.#failed.get(key)?.cause)
  }

  /**
   * An error that nobody handled came up while the module of `spec` is loaded. True when a load threw it, now or earlier:
   * it is reported there. Node rejects a promise of its own with it when a CommonJS module fails that an ES module imports,
   * and does so again at the next import of that module, which then succeeds with exports that are all undefined.
   */
  cameUp(spec: ResolvedWorker, error: unknown): boolean {
    if (!isObject(error) || !this.#thrown.has(error)) return false
    const key = keyOf(spec)
    if (this.#pending.has(key)) this.#hollow.set(key, error)
    return true
  }

  async #import(spec: ResolvedWorker, key: string, current: () => boolean): Promise<void> {
    const before = this.#failed.get(key)
    this.#hollow.delete(key)
    try {
      const loaded = await this.#loadNow(spec, before?.count ?? 0)
      if (this.#failed.size > 0) await nextTurn() // by then unhandled rejections have come up
      if (!current()) return
      const cause = this.#hollow.get(key)
      if (cause !== undefined) throw hollow(spec, cause)
      this.#loaded.set(key, loaded)
      this.#end(key)?.moduleLoaded()
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      if (current()) this.#fail(key, cause)
      // The same error object from a fresh URL can only come from a dependency's cache.
      const cached = isObject(cause) && before?.cause === cause
      throw cached ? needsNewProcess(error as Error, spec.name) : error
    }
  }

  async #loadNow({ name, source: { path } }: ResolvedWorker, attempt: number): Promise<LoadedWorker> {
    const file = fileOf(path)
    noteLoaded([path, file])
    this.#deps.loading?.({ path, file, again: attempt > 0 })
    const end = this.#deps.measure(name)
    let figures: LoadFigures | undefined
    const run = await loadWorker({ name, path, attempt }).finally(() => (figures = end()))
    return { run, figures }
  }

  #fail(key: string, cause: unknown): void {
    this.#failed.set(key, { count: (this.#failed.get(key)?.count ?? 0) + 1, cause })
    if (isObject(cause)) this.#thrown.add(cause)
    this.#end(key)?.moduleFailed()
  }

  #end(key: string): LoadOutcome | undefined {
    const pending = this.#pending.get(key)
    this.#pending.delete(key)
    return pending?.outcome
  }
}

function keyOf({ name, source }: ResolvedWorker): string {
  return `${name}\0${source.path}`
}

function needsNewProcess({ message, cause }: Error, name: string): LoadError {
  const why = 'thrown by a dependency that stays failed: needs a new process'
  return new LoadError('BYRE_WORKER_LOAD', `${message} (${why}). ${newProcess(name)}`, {
    needs: 'new-process',
    cause,
  })
}

function hollow({ name, source: { path } }: ResolvedWorker, cause: unknown): LoadError {
  const { type, message } = describeThrown(cause)
  const fact = `Cannot load worker '${name}' from ${path}: a CommonJS module that it imports has failed before (${type}: ${message})`
  const why = 'Node would leave all its exports undefined: needs a new process'
  return new LoadError('BYRE_WORKER_LOAD', `${fact} and ${why}. ${newProcess(name)}`, {
    needs: 'new-process',
    cause,
  })
}

function newProcess(name: string): string {
  return `Start the supervisor again, or run 'byre move ${name} --to process'.`
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

async function nextTurn(): Promise<void> {
  await new Promise<void>((resolve) => void setImmediate(resolve))
}

// Loads the modules of the workers of one loop, each once and again after a load that failed, and measures the loads: time
// and memory are a module's own only when no other worker ran in the loop meanwhile.

import { describeThrown } from '../base/errors.ts'
import { noteLoaded } from '../base/module-path.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { WorkerModule } from '../worker/contract.ts'
import { fileOf, LoadError, loadWorker } from '../worker/load.ts'
import type { LoadFigures } from '../herd/placement.ts'
import type { LoadingModule } from '../watch/code-watch.ts'

export interface LoadedWorker {
  readonly run: WorkerModule['run']
  /** Figures of its load; undefined after they were taken once. */
  readonly figures: LoadFigures | undefined
}

/** Receives the outcome of a load. One of the two methods is called once, possibly after the run has ended. */
export interface LoadOutcome {
  moduleLoaded(): void
  /** Everything that the module has set up, and everything it sets up from now on, must be closed. */
  moduleFailed(): void
}

interface PendingLoad {
  readonly done: Promise<void>
  readonly outcome: LoadOutcome
}

/** One module instance per worker and process: a restart calls run() of the same instance. A failed load is repeated under a
 *  fresh URL. */
export class Loader {
  readonly #loaded = new Map<string, LoadedWorker>()
  readonly #pending = new Map<string, PendingLoad>()
  /** Loads of each module before the next one; each has a URL of its own. */
  readonly #attempts = new Map<string, number>()
  /** What the last load failed with. */
  readonly #failed = new Map<string, { readonly cause: unknown }>()
  /** Errors that failed loads threw in this process. */
  readonly #thrown = new WeakSet()
  /** Pending loads in which such an error surfaced again. */
  readonly #hollow = new Map<string, unknown>()
  readonly #onLoad: ((module: LoadingModule) => void) | undefined
  readonly #measure: (worker: string) => () => LoadFigures

  /** `onLoad` is called before each load. `measure` begins to measure a load; call its result at the end. */
  constructor(
    onLoad: ((module: LoadingModule) => void) | undefined,
    measure: (worker: string) => () => LoadFigures,
  ) {
    this.#onLoad = onLoad
    this.#measure = measure
  }

  /**
   * Resolves once `take` can return the module. `outcome` is called only for a load that this call begins.
   */
  async load(spec: ResolvedWorker, outcome: LoadOutcome): Promise<void> {
    const key = keyOf(spec)
    if (this.#loaded.has(key)) return undefined
    const pending = this.#pending.get(key)
    if (pending !== undefined) return pending.done
    const done = this.#import(spec, key, () => this.#pending.get(key)?.done === done)
    this.#pending.set(key, { done, outcome })
    return done
  }

  /** Whether `load` would begin a load: the module is neither loaded nor being loaded. */
  begins(spec: ResolvedWorker): boolean {
    const key = keyOf(spec)
    return !this.#loaded.has(key) && !this.#pending.has(key)
  }

  /** The next load evaluates the entry module again: what it had set up is closed. */
  renew(spec: ResolvedWorker): void {
    const key = keyOf(spec)
    if (this.#loaded.delete(key)) this.#attempts.set(key, (this.#attempts.get(key) ?? 0) + 1)
  }

  /** Returns the loaded module; with its figures for the first run only, since later runs do not load it. */
  take(spec: ResolvedWorker): LoadedWorker {
    const key = keyOf(spec)
    const loaded = this.#loaded.get(key) as LoadedWorker
    if (loaded.figures !== undefined) this.#loaded.set(key, { run: loaded.run, figures: undefined })
    return loaded
  }

  /** Counts the pending load as failed, because it hangs or has thrown outside its evaluation. The next call begins a new load. */
  giveUp(spec: ResolvedWorker): void {
    const key = keyOf(spec)
    if (this.#pending.has(key)) this.#fail(key, this.#failed.get(key)?.cause)
  }

  /**
   * An unhandled error surfaced while the module of `spec` is loaded. Returns true when a load threw it, now or earlier: that
   * load reports it. When a CommonJS module that an ES module imports fails, Node rejects an internal promise with the error;
   * it does so again at the next import of that module, which then succeeds with all exports undefined.
   */
  surfaced(spec: ResolvedWorker, error: unknown): boolean {
    if (!isObject(error) || !this.#thrown.has(error)) return false
    const key = keyOf(spec)
    if (this.#pending.has(key)) this.#hollow.set(key, error)
    return true
  }

  async #import(spec: ResolvedWorker, key: string, current: () => boolean): Promise<void> {
    const before = this.#failed.get(key)
    this.#hollow.delete(key)
    try {
      const loaded = await this.#loadNow(spec, this.#attempts.get(key) ?? 0)
      if (this.#failed.size > 0) await nextTurn() // by then unhandled rejections have surfaced
      if (!current()) return
      const cause = this.#hollow.get(key)
      if (cause !== undefined) throw hollow(spec, cause)
      this.#loaded.set(key, loaded)
      this.#end(key)?.moduleLoaded()
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined
      if (current()) this.#fail(key, cause)
      // The same error object under a fresh URL can only come from the module cache of a dependency.
      const cached = isObject(cause) && before?.cause === cause
      throw cached ? needsNewProcess(error as Error, spec.name) : error
    }
  }

  async #loadNow({ name, source: { path } }: ResolvedWorker, attempt: number): Promise<LoadedWorker> {
    const file = fileOf(path)
    noteLoaded([path, file])
    this.#onLoad?.({ path, file, again: attempt > 0 })
    const end = this.#measure(name)
    let figures: LoadFigures | undefined
    const run = await loadWorker({ name, path, attempt }).finally(() => (figures = end()))
    return { run, figures }
  }

  #fail(key: string, cause: unknown): void {
    this.#failed.set(key, { cause })
    this.#attempts.set(key, (this.#attempts.get(key) ?? 0) + 1)
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
  const why = 'thrown by a dependency that Node does not load again: needs a new process'
  return new LoadError('BYRE_WORKER_LOAD', `${message} (${why}). ${newProcess(name)}`, {
    needs: 'new-process',
    cause,
  })
}

function hollow({ name, source: { path } }: ResolvedWorker, cause: unknown): LoadError {
  const { type, message } = describeThrown(cause)
  const fact = `Cannot load worker '${name}' from ${path}: a CommonJS module that it imports failed earlier (${type}: ${message})`
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

/** Figures of a program that byre does not load itself. */
export const NOT_LOADED: LoadFigures = {
  unavailable: {
    ms: 'a script runs from its first line: the end of its load cannot be observed',
    rssBytes: 'a script runs from its first line: see sample for the memory of its process',
  },
}

/** Why the load of a worker in a thread has no memory figure. */
export const IN_A_THREAD = 'a thread has no memory of its own: it shares that of its process'

const NAMES_MAX = 3

interface Load {
  readonly worker: string
  readonly startedAt: number
  readonly rssBytes: number
  /** Other workers whose code may have run in the same loop during the load. */
  readonly others: Set<string>
  /** Why other loops share the memory of the process; undefined when none does. */
  readonly memoryShared: string | undefined
}

/** Measures the loads of one loop. */
export class LoadMeter {
  readonly #memoryShared: () => string | undefined
  readonly #loads = new Set<Load>()

  /** `memoryShared` returns why another loop shares the memory of the process now; undefined when none does. */
  constructor(memoryShared: () => string | undefined) {
    this.#memoryShared = memoryShared
  }

  /** A run of `worker` begins in the loop. */
  runs(worker: string): void {
    for (const load of this.#loads) if (load.worker !== worker) load.others.add(worker)
  }

  /** Begins to measure the load of `worker`'s module, while runs of `others` are in the loop. Call the result at its end. */
  begin(worker: string, others: Iterable<string>): () => LoadFigures {
    const load: Load = {
      worker,
      others: new Set(others),
      memoryShared: this.#memoryShared(),
      rssBytes: process.memoryUsage.rss(),
      startedAt: performance.now(),
    }
    load.others.delete(worker)
    this.#loads.add(load)
    return () => {
      const ms = performance.now() - load.startedAt
      this.#loads.delete(load)
      return this.#figures(load, ms)
    }
  }

  #figures({ others, memoryShared, rssBytes }: Load, ms: number): LoadFigures {
    if (others.size > 0) {
      const why = `${namesOf([...others])} ran or loaded in the same loop meanwhile`
      return { unavailable: { ms: why, rssBytes: why } }
    }
    const shared = memoryShared ?? this.#memoryShared()
    if (shared !== undefined) return { ms, unavailable: { rssBytes: shared } }
    return { ms, rssBytes: Math.max(0, process.memoryUsage.rss() - rssBytes) }
  }
}

function namesOf(workers: readonly string[]): string {
  const more = workers.length - NAMES_MAX
  return `${workers.slice(0, NAMES_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

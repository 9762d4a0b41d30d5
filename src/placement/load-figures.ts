// What loading a module took, where that is its own: time and memory of one loop are those of all that runs in it.

import type { LoadFigures } from '../herd/placement.ts'

/** A program that byre does not load itself. */
export const NOT_LOADED: LoadFigures = {
  unavailable: {
    ms: 'a script runs from its first line: nothing tells when it is loaded',
    rssBytes: 'a script runs from its first line: see sample for the memory of its process',
  },
}

/** Why the load of a worker in a thread has no memory of its own. */
export const IN_A_THREAD = 'a thread has no memory of its own: that of its process is shared'

const NAMES_MAX = 3

interface Load {
  readonly worker: string
  readonly startedAt: number
  readonly rssBytes: number
  /** Workers whose code may have run in the same loop meanwhile. */
  readonly beside: Set<string>
  /** Why the memory of the process is not only that of its loop. */
  readonly memoryShared: string | undefined
}

/** Measures the loads of one loop. */
export class LoadMeter {
  readonly #memoryShared: () => string | undefined
  readonly #loads = new Set<Load>()

  /** `memoryShared`: why the memory of the process is also that of another loop now, if it is. */
  constructor(memoryShared: () => string | undefined) {
    this.#memoryShared = memoryShared
  }

  /** A run of `worker` begins in the loop. */
  runs(worker: string): void {
    for (const load of this.#loads) if (load.worker !== worker) load.beside.add(worker)
  }

  /** The module of `worker` is about to be loaded, while runs of `beside` are in the loop. Call the result at its end. */
  begin(worker: string, beside: Iterable<string>): () => LoadFigures {
    const load: Load = {
      worker,
      beside: new Set(beside),
      memoryShared: this.#memoryShared(),
      rssBytes: process.memoryUsage.rss(),
      startedAt: performance.now(),
    }
    load.beside.delete(worker)
    this.#loads.add(load)
    return () => {
      const ms = performance.now() - load.startedAt
      this.#loads.delete(load)
      return this.#figures(load, ms)
    }
  }

  #figures({ beside, memoryShared, rssBytes }: Load, ms: number): LoadFigures {
    if (beside.size > 0) {
      const why = `${namesOf([...beside])} ran or loaded in the same loop meanwhile`
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

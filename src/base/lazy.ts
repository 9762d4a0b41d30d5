// The single way byre loads anything late: a memoised import() that times itself.

export interface LazyModule<T> {
  /** Loads on the first call; later calls give the same promise. A failed load is forgotten, so the next call tries again. */
  load(): Promise<T>
  /** The module if it is loaded already, else undefined. */
  readonly loaded: T | undefined
  /** Milliseconds the first load took; undefined before it ended. */
  readonly loadMs: number | undefined
}

export function lazyModule<T>(importer: () => Promise<T>): LazyModule<T> {
  let pending: Promise<T> | undefined
  let loaded: T | undefined
  let loadMs: number | undefined
  return {
    load() {
      if (pending !== undefined) return pending
      const startedAt = performance.now()
      pending = importer().then(
        (module) => {
          loaded = module
          loadMs = performance.now() - startedAt
          return module
        },
        (error: unknown) => {
          pending = undefined
          throw error
        },
      )
      return pending
    },
    get loaded() {
      return loaded
    },
    get loadMs() {
      return loadMs
    },
  }
}

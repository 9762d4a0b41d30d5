// Late loading: a memoised import() that records its duration, or a memoised require(). All late loading of byre goes
// through these two functions.

import { createRequire } from 'node:module'

export interface LazyModule<T> {
  /** Loads the module on the first call. Later calls return the same promise. After a failed load, the next call tries again. */
  load(): Promise<T>
  /** The module once it is loaded, else undefined. */
  readonly loaded: T | undefined
  /** Duration of the load in milliseconds; undefined until the module is loaded. */
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

export interface LazyRequired<T> {
  /** Loads the module synchronously on the first call. After a failed load, the next call tries again. */
  get(): T
  /** True once loaded. */
  readonly isLoaded: boolean
}

/** For a CommonJS package that synchronous code needs. `from` is the caller's import.meta.url. */
export function lazyRequire<T>(specifier: string, from: string): LazyRequired<T> {
  let loaded: { readonly module: T } | undefined
  return {
    get() {
      loaded ??= { module: createRequire(from)(specifier) as T }
      return loaded.module
    },
    get isLoaded() {
      return loaded !== undefined
    },
  }
}

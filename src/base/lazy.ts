// The single way byre loads anything late: a memoised import() that times itself, or the same through require().

import { createRequire } from 'node:module'

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

export interface LazyRequired<T> {
  /** Loads on the first call, synchronously. A failed load is forgotten, so the next call tries again. */
  get(): T
  /** True once loaded. */
  readonly isLoaded: boolean
}

/** For a CommonJS package that is needed inside synchronous code. `from` is the caller's import.meta.url. */
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

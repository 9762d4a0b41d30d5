// Modules that load on first use. The file is small on purpose, because programs that must stay small import it.

import { createRequire } from 'node:module'
import { ByreError } from '../base/errors.ts'

/** A module loaded by import() on the first call. Later calls return the same promise; a failed load is retried by
 *  the next call. */
export interface Lazy<T> {
  (): Promise<T>
  /** The module once it is loaded, else undefined; for code that must stay synchronous. */
  readonly loaded: T | undefined
  /** Duration of the load in milliseconds; undefined before the load. */
  readonly loadMs: number | undefined
  /** Origin of the first call, as the line of a stack trace; undefined before that call. */
  readonly firstUse: string | undefined
}

/** Returns a function that loads a module: `const orm = lazy(() => import('typeorm'))`, then `const {
 *  DataSource } = await orm()`. With BYRE_EAGER=1 in the environment it loads immediately, so that CI finds missing
 *  modules; a failure is then an unhandled rejection. */
export function lazy<T>(importer: () => Promise<T>): Lazy<T> {
  let pending: Promise<T> | undefined
  const state: { loaded?: T; loadMs?: number; firstUse?: string } = {}
  const start = (): Promise<T> => {
    const startedAt = performance.now()
    return importer().then(
      (module) => {
        state.loaded = module
        state.loadMs = performance.now() - startedAt
        return module
      },
      (error: unknown) => {
        pending = undefined
        throw error
      },
    )
  }
  const load = (): Promise<T> => {
    state.firstUse ??= callerLine()
    pending ??= start()
    return pending
  }
  if (isEager()) pending = start()
  return Object.defineProperties(load, {
    loaded: { get: () => state.loaded },
    loadMs: { get: () => state.loadMs },
    firstUse: { get: () => state.firstUse },
  }) as Lazy<T>
}

/** A namespace whose names load their modules on first access, synchronously; for barrels. It is what a module's
 *  `__getattr__` is in Python (PEP 562). `modules` maps each name to the module that exports it, relative to
 *  `parentUrl` (import.meta.url). The names are enumerable without loading anything. An access throws
 *  BYRE_AUDIT_LAZY when the module has a top-level await (it cannot be loaded synchronously; use lazy()) or does not
 *  export the name, and otherwise any error of the load. */
export function lazyNamespace<T extends object>(
  parentUrl: string,
  modules: { readonly [K in keyof T & string]: string },
): T {
  const require = createRequire(parentUrl)
  const namespace = {} as T
  for (const [name, specifier] of Object.entries<string>(modules))
    Object.defineProperty(namespace, name, {
      enumerable: true,
      configurable: true,
      get() {
        const value = readName(require, specifier, name)
        // Replaced by a plain property: an access takes 1 ns instead of a call.
        Object.defineProperty(namespace, name, { value, enumerable: true, configurable: true })
        return value
      },
    })
  if (isEager()) for (const name of Object.keys(modules)) void namespace[name as keyof T]
  return namespace
}

function readName(require: NodeJS.Require, specifier: string, name: string): unknown {
  const module = load(require, specifier)
  if ((typeof module === 'object' || typeof module === 'function') && module !== null && name in module)
    return (module as Record<string, unknown>)[name]
  if (name === 'default') return module
  throw new ByreError(
    'BYRE_AUDIT_LAZY',
    `Cannot read '${name}' of '${specifier}': the module exports ${Object.keys(module ?? {}).join(', ') || 'nothing'}. Correct the table passed to lazyNamespace().`,
  )
}

function load(require: NodeJS.Require, specifier: string): unknown {
  try {
    return require(specifier)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_REQUIRE_ASYNC_MODULE') throw cause
    throw new ByreError(
      'BYRE_AUDIT_LAZY',
      `Cannot load '${specifier}' on access: it has a top-level await, and lazyNamespace() loads synchronously. Use lazy(() => import('${specifier}')).`,
      { cause },
    )
  }
}

function isEager(): boolean {
  return process.env['BYRE_EAGER'] === '1'
}

function callerLine(): string {
  return new Error().stack?.split('\n')[3]?.trim() ?? 'unknown'
}

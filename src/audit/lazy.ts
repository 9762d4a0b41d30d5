// The remedy: modules that load on first use. Small on purpose, because the programs that are to be light import it.

import { createRequire } from 'node:module'
import { ByreError } from '../base/errors.ts'

/** A module loaded by import() on the first call; the same promise ever after, a failed load is tried again. */
export interface Lazy<T> {
  (): Promise<T>
  /** The module when it is loaded, else undefined; for code that must stay synchronous. */
  readonly loaded: T | undefined
  /** Milliseconds the load took; undefined before. */
  readonly loadMs: number | undefined
  /** Where the first call came from: the line of a stack; undefined before. */
  readonly firstUse: string | undefined
}

/** `const orm = lazy(() => import('typeorm'))`, then `const { DataSource } = await orm()`. With BYRE_EAGER=1 in the
 *  environment it loads at once, so that CI proves that nothing is missing behind laziness; a failure then surfaces as
 *  an unhandled rejection. */
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

/** A namespace whose names load their modules on first access, synchronously: what a module's `__getattr__` is to
 *  Python (PEP 562), for barrels. `modules` says where each name is exported from, seen from `parentUrl`
 *  (import.meta.url). Names are enumerable without loading anything. An access throws BYRE_AUDIT_LAZY when the module
 *  has a top-level await (it cannot be loaded synchronously; use lazy()) or lacks the name, else what loading throws. */
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
        // From now on a plain property: 1 ns instead of a call.
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
    `Cannot read '${name}' of '${specifier}': the module must export it, got ${Object.keys(module ?? {}).join(', ') || 'nothing'}. Correct the table given to lazyNamespace().`,
  )
}

function load(require: NodeJS.Require, specifier: string): unknown {
  try {
    return require(specifier)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_REQUIRE_ASYNC_MODULE') throw cause
    throw new ByreError(
      'BYRE_AUDIT_LAZY',
      `Cannot load '${specifier}' on access: a module behind lazyNamespace() must load synchronously, got a top-level await. Use lazy(() => import('${specifier}')).`,
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

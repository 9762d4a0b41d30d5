// The Node internals that the instruments hook. They are reached with --expose-internals and were checked on Node
// 20.20.2, 22.23.3, 24.21.0 and 26.10.0; the self-test decides whether another version is supported.

import { createRequire, Module } from 'node:module'

/** The CommonJS internals of node:module. */
export interface ModuleInternals {
  _load: (this: unknown, request: string, parent: CjsModule | undefined, isMain: boolean) => unknown
  _resolveFilename: (request: string, parent: CjsModule | undefined, isMain: boolean) => string
  _cache: Record<string, CjsModule | undefined>
  isBuiltin(name: string): boolean
  prototype: { load: (this: CjsModule, filename: string) => unknown }
}

export interface CjsModule {
  readonly filename: string | null
  readonly exports: unknown
  readonly children: readonly CjsModule[]
}

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown

export interface Internals {
  readonly major: number
  readonly cjs: ModuleInternals
  readonly translators: Map<string, AnyFunction>
  /** The ES module loader of this thread; hooks replace methods on this instance. */
  readonly loader: Record<string, AnyFunction | undefined>
  readonly moduleWrap: Record<string, AnyFunction | undefined>
  readonly v8: V8Binding
  /** The prototype of all builtin modules of Node. */
  readonly builtins: BuiltinPrototype
}

/** The prototype of builtin modules; `compileForInternalLoader` runs on every require() between two of them. */
export interface BuiltinPrototype {
  compileForInternalLoader: (this: OwnModule) => unknown
}

export interface OwnModule {
  readonly id: string
  readonly loaded: boolean
  readonly loading: boolean
}

export interface V8Binding {
  readonly heapStatisticsBuffer?: Float64Array
  readonly updateHeapStatisticsBuffer?: () => void
  readonly kUsedHeapSizeIndex?: number
  readonly kExternalMemoryIndex?: number
}

/** Loads the internals; throws Node's error when they are not exposed or have moved. */
export function loadInternals(): Internals {
  const require = createRequire(import.meta.url)
  const { translators } = require('internal/modules/esm/translators') as {
    translators: Internals['translators']
  }
  const { getOrInitializeCascadedLoader } = require('internal/modules/esm/loader') as {
    getOrInitializeCascadedLoader: () => Internals['loader']
  }
  const { loadBuiltinModule } = require('internal/modules/helpers') as {
    loadBuiltinModule: (id: string) => object
  }
  const { internalBinding } = require('internal/test/binding') as {
    internalBinding: (name: string) => Record<string, unknown>
  }
  const { ModuleWrap } = internalBinding('module_wrap') as unknown as {
    ModuleWrap: { prototype: Internals['moduleWrap'] }
  }
  return {
    major: Number.parseInt(process.versions.node, 10),
    cjs: Module as unknown as ModuleInternals,
    translators,
    loader: getOrInitializeCascadedLoader(),
    moduleWrap: ModuleWrap.prototype,
    v8: internalBinding('v8') as V8Binding,
    builtins: Object.getPrototypeOf(loadBuiltinModule('fs')) as BuiltinPrototype,
  }
}

// process.env of a worker in the shared loop: it sees its own writes, and its siblings do not.

import { createRequire, syncBuiltinESMExports } from 'node:module'
import { inspect } from 'node:util'
import type { Worker, WorkerOptions } from 'node:worker_threads'
import { redefine, touch } from './override.ts'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

/**
 * Replaces process.env; returns the undo. Three layers are read in order: the worker's own writes (those of its module
 * while it loaded last as long as the module, those of a run as long as the run), the real environment, and
 * variables the real environment lacks and some module set while it loaded: a module such as dotenv is evaluated once
 * for all workers that import it, so what it sets must reach them all.
 */
export function ownEnvironment(): () => void {
  const real = process.env
  const proxy = createEnvironment(real)
  let current: NodeJS.ProcessEnv = proxy
  const undos = [
    redefine('env', {
      configurable: true,
      enumerable: true,
      get: () => current,
      set: (next: NodeJS.ProcessEnv) => {
        if (currentScope() === undefined) current = next
        else replaceAll(proxy, next)
      },
    }),
    passToThreads(),
  ]
  return () => {
    for (const undo of undos) undo()
  }
}

function createEnvironment(real: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const loaded = new Map<string, string>()

  const write = (scope: RunScope, key: string, value: string | undefined): void => {
    overlayOf(scope).set(key, value)
    if (scope.loading && value !== undefined && !Reflect.has(real, key) && !loaded.has(key))
      loaded.set(key, value)
    touch(scope, 'env', `process.env.${key} kept to the worker`)
  }
  const read = (key: string): string | undefined => {
    const overlay = currentScope()?.env
    if (overlay?.has(key) === true) return overlay.get(key)
    return real[key] ?? loaded.get(key)
  }
  const keys = (): string[] => {
    const all = new Set([...Object.keys(real), ...loaded.keys()])
    for (const [key, value] of currentScope()?.env ?? []) {
      if (value === undefined) all.delete(key)
      else all.add(key)
    }
    return [...all]
  }
  // util.inspect looks at the target of a Proxy and not at what its traps show.
  const shown = Object.create(Object.prototype, {
    [inspect.custom]: { value: () => ({ ...proxy }) },
  }) as object
  const proxy: NodeJS.ProcessEnv = new Proxy(Object.create(shown) as NodeJS.ProcessEnv, {
    get: (_, key) => {
      if (typeof key === 'symbol') return Reflect.get(real, key) as undefined
      // toString, hasOwnProperty and their kin
      return read(key) ?? (key in Object.prototype ? (Reflect.get(real, key) as undefined) : undefined)
    },
    set: (_, key, value) => {
      const scope = currentScope()
      // Node refuses symbols in its own words.
      if (scope === undefined || typeof key === 'symbol' || typeof value === 'symbol')
        return Reflect.set(real, key, value)
      write(scope, key, String(value))
      return true
    },
    defineProperty: (_, key, descriptor) => {
      const scope = currentScope()
      if (scope === undefined || typeof key === 'symbol') return Reflect.defineProperty(real, key, descriptor)
      checkDescriptor(descriptor)
      write(scope, key, String(descriptor.value))
      return true
    },
    deleteProperty: (_, key) => {
      const scope = currentScope()
      if (scope === undefined || typeof key === 'symbol') return Reflect.deleteProperty(real, key)
      if (read(key) !== undefined) write(scope, key, undefined)
      return true
    },
    has: (_, key) => (typeof key === 'symbol' ? Reflect.has(real, key) : read(key) !== undefined),
    ownKeys: keys,
    getOwnPropertyDescriptor: (_, key) => {
      const value = typeof key === 'symbol' ? undefined : read(key)
      return value === undefined ? undefined : { value, writable: true, enumerable: true, configurable: true }
    },
    getPrototypeOf: () => Reflect.getPrototypeOf(real),
  })
  return proxy
}

/** As Node does for its own process.env (lib/internal/bootstrap/node.js, EnvDefiner of src/node_env_var.cc). */
function checkDescriptor(descriptor: PropertyDescriptor): void {
  const problem =
    'get' in descriptor || 'set' in descriptor
      ? `'process.env' does not accept an accessor(getter/setter) descriptor`
      : descriptor.configurable === true && descriptor.writable === true && descriptor.enumerable === true
        ? undefined
        : `'process.env' only accepts a configurable, writable, and enumerable data descriptor`
  if (problem !== undefined)
    throw Object.assign(new TypeError(problem), { code: 'ERR_INVALID_OBJECT_DEFINE_PROPERTY' })
}

/** `process.env = {...}` in a worker: what is not in it is gone for the worker. */
function replaceAll(env: NodeJS.ProcessEnv, next: NodeJS.ProcessEnv): void {
  const wanted = Object.entries(next)
  for (const key of Object.keys(env)) delete env[key]
  for (const [key, value] of wanted) env[key] = value
}

function overlayOf(scope: RunScope): Map<string, string | undefined> {
  scope.env ??= new Map()
  return scope.env
}

/** A thread without an `env` of its own gets a copy of the real environment from Node; here a copy of what its maker sees. */
function passToThreads(): () => void {
  const threads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker }
  const { Worker: Original } = threads
  const Replacement = class Worker extends Original {
    constructor(file: string | URL, options?: WorkerOptions) {
      super(
        file,
        currentScope() === undefined || options?.env != null
          ? options
          : { ...options, env: { ...process.env } },
      )
    }
  }
  threads.Worker = Replacement
  syncBuiltinESMExports()
  return () => {
    if (threads.Worker !== Replacement) return
    threads.Worker = Original
    syncBuiltinESMExports()
  }
}

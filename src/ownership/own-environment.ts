// process.env of workers in the shared loop: a worker sees its own writes, other workers do not.

import { createRequire, syncBuiltinESMExports } from 'node:module'
import { inspect } from 'node:util'
import type { Worker, WorkerOptions } from 'node:worker_threads'
import { ownerHere } from './evaluation.ts'
import { redefine, touch } from './override.ts'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

/**
 * Replaces process.env; returns the undo. Three layers are read in this order:
 * 1. the worker's own writes: those of a run last as long as the run, those of its module as long as the module;
 * 2. the real environment;
 * 3. variables that an imported module set while it was evaluated, and that the real environment lacks: a module such as dotenv is
 *    evaluated once for all workers that import it, so its variables must reach them all.
 *
 * The real environment is copied, because a read of it calls getenv(3) and takes 90 ns, plus half of that for the Proxy.
 * Variables that native code sets with setenv(3) are therefore not seen, unless a thread shares the environment (SHARE_ENV):
 * from then on the real environment is read.
 */
export function ownEnvironment(): () => void {
  const environment = new Environment(process.env)
  const { proxy } = environment
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
    passToThreads(() => environment.readLive()),
  ]
  return () => {
    for (const undo of undos) undo()
  }
}

class Environment {
  readonly proxy: NodeJS.ProcessEnv
  readonly #real: NodeJS.ProcessEnv
  /** The copy; the real one once a thread shares it. */
  #base: NodeJS.ProcessEnv
  readonly #loaded = new Map<string, string>()

  constructor(real: NodeJS.ProcessEnv) {
    this.#real = real
    this.#base = Object.assign(Object.create(null) as NodeJS.ProcessEnv, real)
    this.proxy = this.#open()
  }

  readLive(): void {
    this.#base = this.#real
  }

  #read(key: string): string | undefined {
    const scope = currentScope()
    for (const overlay of [scope?.own.env, scope?.load?.own.env])
      if (overlay?.has(key) === true) return overlay.get(key)
    return this.#base[key] ?? this.#loaded.get(key)
  }

  #write(scope: RunScope, key: string, value: string | undefined): void {
    overlayOf(scope).set(key, value)
    if (value !== undefined && this.#base[key] === undefined && ownerHere(scope) === undefined) {
      this.#loaded.set(key, value)
      touch(
        scope,
        `env:${key}`,
        `process.env.${key}, set by a module that was imported, applies to every worker`,
      )
      return
    }
    if (key === 'TZ')
      touch(
        scope,
        'env:TZ',
        `process.env.TZ has no effect on Date: a process has one time zone. Use placement 'process'`,
      )
    else touch(scope, 'env', `process.env.${key} applies to this worker only`)
  }

  /** Changes the real environment: outside every worker, and for values that Node refuses with its own error. */
  #change(key: string | symbol, change: () => boolean): boolean {
    const done = change()
    if (typeof key !== 'string' || this.#base === this.#real) return done
    const value = this.#real[key]
    if (value === undefined) delete this.#base[key]
    else this.#base[key] = value
    return done
  }

  #keys(): string[] {
    const all = new Set([...Object.keys(this.#base), ...this.#loaded.keys()])
    const scope = currentScope()
    for (const overlay of [scope?.load?.own.env, scope?.own.env])
      for (const [key, value] of overlay ?? []) {
        if (value === undefined) all.delete(key)
        else all.add(key)
      }
    return [...all]
  }

  #open(): NodeJS.ProcessEnv {
    const real = this.#real
    // util.inspect shows the target of a Proxy, not what its traps return.
    const shown = Object.create(Object.prototype, {
      [inspect.custom]: { value: () => ({ ...this.proxy }) },
    }) as object
    return new Proxy(Object.create(shown) as NodeJS.ProcessEnv, {
      get: (_, key) => {
        if (typeof key === 'symbol') return Reflect.get(real, key) as undefined
        // toString, hasOwnProperty and the like
        return (
          this.#read(key) ?? (key in Object.prototype ? (Reflect.get(real, key) as undefined) : undefined)
        )
      },
      set: (_, key, value) => {
        const scope = currentScope()
        if (scope === undefined || typeof key === 'symbol' || typeof value === 'symbol')
          return this.#change(key, () => Reflect.set(real, key, value))
        this.#write(scope, key, String(value))
        return true
      },
      defineProperty: (_, key, descriptor) => {
        const scope = currentScope()
        if (scope === undefined || typeof key === 'symbol')
          return this.#change(key, () => Reflect.defineProperty(real, key, descriptor))
        checkDescriptor(descriptor)
        this.#write(scope, key, String(descriptor.value))
        return true
      },
      deleteProperty: (_, key) => {
        const scope = currentScope()
        if (scope === undefined || typeof key === 'symbol')
          return this.#change(key, () => Reflect.deleteProperty(real, key))
        if (this.#read(key) !== undefined) this.#write(scope, key, undefined)
        return true
      },
      has: (_, key) => (typeof key === 'symbol' ? Reflect.has(real, key) : this.#read(key) !== undefined),
      ownKeys: () => this.#keys(),
      getOwnPropertyDescriptor: (_, key) => {
        const value = typeof key === 'symbol' ? undefined : this.#read(key)
        return value === undefined
          ? undefined
          : { value, writable: true, enumerable: true, configurable: true }
      },
      getPrototypeOf: () => Reflect.getPrototypeOf(real),
    })
  }
}

/** The checks that Node makes on its process.env (lib/internal/bootstrap/node.js, EnvDefiner of src/node_env_var.cc). */
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

/** `process.env = {...}` in a worker: other variables are deleted for this worker. */
function replaceAll(env: NodeJS.ProcessEnv, next: NodeJS.ProcessEnv): void {
  const wanted = Object.entries(next)
  for (const key of Object.keys(env)) delete env[key]
  for (const [key, value] of wanted) env[key] = value
}

function overlayOf(scope: RunScope): Map<string, string | undefined> {
  scope.own.env ??= new Map()
  return scope.own.env
}

/** Node gives a thread without `env` a copy of the real environment; here it gets a copy of what its worker sees. */
function passToThreads(onShared: () => void): () => void {
  const threads = createRequire(import.meta.url)('node:worker_threads') as {
    Worker: typeof Worker
    readonly SHARE_ENV: symbol
  }
  const { Worker: Original, SHARE_ENV } = threads
  const Replacement = class Worker extends Original {
    constructor(file: string | URL, options?: WorkerOptions) {
      super(file, withEnvironment(options))
      if ((options?.env as unknown) === SHARE_ENV) onShared()
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

function withEnvironment(options: WorkerOptions | undefined): WorkerOptions | undefined {
  const given = options?.env !== undefined && options.env !== null
  return given || currentScope() === undefined ? options : { ...options, env: { ...process.env } }
}

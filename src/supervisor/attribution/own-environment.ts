// process.env of a worker in the shared loop: it sees its own writes, and nobody else does.

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
  const loaded = new Map<string, string>()

  const write = (key: string | symbol, value: string | undefined): boolean => {
    const scope = currentScope()
    if (scope === undefined || typeof key === 'symbol')
      return value === undefined ? Reflect.deleteProperty(real, key) : Reflect.set(real, key, value)
    overlayOf(scope).set(key, value)
    if (scope.loading && value !== undefined && !Reflect.has(real, key) && !loaded.has(key))
      loaded.set(key, value)
    touch(scope, 'env', `process.env.${key} kept to the worker`)
    return true
  }
  const read = (key: string | symbol): string | undefined => {
    if (typeof key === 'symbol') return Reflect.get(real, key) as string | undefined
    const overlay = currentScope()?.env
    if (overlay?.has(key) === true) return overlay.get(key)
    return (Reflect.get(real, key) as string | undefined) ?? loaded.get(key)
  }
  const keys = (): (string | symbol)[] => {
    const all = new Set([...Reflect.ownKeys(real), ...loaded.keys()])
    for (const [key, value] of currentScope()?.env ?? []) {
      if (value === undefined) all.delete(key)
      else all.add(key)
    }
    return [...all]
  }
  // The proxy's target is an empty object: an overlaid key must not clash with the target's own descriptors.
  const proxy = new Proxy({} as NodeJS.ProcessEnv, {
    get: (_, key) => read(key),
    set: (_, key, value) => write(key, String(value)),
    defineProperty: (_, key, descriptor) => write(key, String(descriptor.value)),
    deleteProperty: (_, key) => write(key, undefined),
    has: (_, key) => read(key) !== undefined,
    ownKeys: keys,
    getOwnPropertyDescriptor: (_, key) => {
      const value = read(key)
      return value === undefined ? undefined : { value, writable: true, enumerable: true, configurable: true }
    },
  })
  let current: NodeJS.ProcessEnv = proxy
  return redefine('env', {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (next: NodeJS.ProcessEnv) => {
      if (currentScope() === undefined) current = next
      else replaceAll(proxy, next)
    },
  })
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

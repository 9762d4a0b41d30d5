// Functions of the language that everybody calls: one that a worker replaces is replaced for that worker alone, and named.

import { seesHostGlobals } from '../../base/json.ts'
import { touch } from './override.ts'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

interface Guarded {
  readonly host: object
  /** As it is written. */
  readonly prefix: string
  readonly names: readonly string[]
}

const GUARDED: readonly Guarded[] = [
  {
    host: globalThis,
    prefix: '',
    names: [
      'setTimeout',
      'setInterval',
      'setImmediate',
      'clearTimeout',
      'clearInterval',
      'clearImmediate',
      'queueMicrotask',
      'Promise',
      'Date',
      'JSON',
    ],
  },
  { host: JSON, prefix: 'JSON.', names: ['stringify', 'parse'] },
  { host: Date, prefix: 'Date.', names: ['now'] },
  // Node formats the stacks of all errors with it, when there is one.
  { host: Error, prefix: 'Error.', names: ['prepareStackTrace'] },
]

/** Installs the guards; returns their undo. */
export function guardGlobals(): () => void {
  const soon = globalThis.setImmediate
  const undos = GUARDED.flatMap(({ host, prefix, names }) =>
    names.map((name) => keepToWorker(host, name, `${prefix}${name}`, soon)),
  )
  return () => {
    for (const undo of undos) undo()
  }
}

function keepToWorker(host: object, name: string, what: string, soon: typeof setImmediate): () => void {
  const original = Object.getOwnPropertyDescriptor(host, name)
  let value: unknown = original?.value
  /** By worker and not by run: it lasts as long as the module that did it. */
  let own: Map<string, unknown> | undefined

  const keep = (scope: RunScope, next: unknown): void => {
    if (next === value) {
      own?.delete(scope.worker)
      return
    }
    own ??= new Map()
    own.set(scope.worker, next)
    // Many libraries set Error.prepareStackTrace for the length of a call.
    soon(() => {
      if (own?.has(scope.worker) === true)
        touch(scope, `global:${what}`, `${what} = ... kept to the worker: its siblings do not see it`)
    })
  }
  Object.defineProperty(host, name, {
    configurable: true,
    enumerable: original?.enumerable ?? false,
    get() {
      if (own === undefined || seesHostGlobals()) return value // as long as nobody replaced it, this is all it costs
      const scope = currentScope()
      return scope !== undefined && own.has(scope.worker) ? own.get(scope.worker) : value
    },
    set(this: object, next: unknown) {
      // Of a class that extends Error, or an object made from JSON.
      if (this !== host) {
        Object.defineProperty(this, name, {
          value: next,
          writable: true,
          enumerable: true,
          configurable: true,
        })
        return
      }
      const scope = currentScope()
      if (scope === undefined) value = next
      else keep(scope, next)
    },
  })
  return () => {
    if (original !== undefined) Object.defineProperty(host, name, { ...original, value })
    else if (value === undefined) delete (host as Record<string, unknown>)[name]
    else Object.defineProperty(host, name, { value, writable: true, enumerable: true, configurable: true })
  }
}

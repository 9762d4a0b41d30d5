// The common part of all guards of the process: replaces a member of `process`, and reports that a worker used it.

import { ByreError } from '../base/errors.ts'
import type { RunScope } from './run-scope.ts'

/** Reports to the scope's runner, once per kind and run. */
export function touch(scope: RunScope, kind: string, what: string): void {
  const kinds = (scope.touchedKinds ??= new Set())
  if (kinds.has(kind)) return
  kinds.add(kind)
  scope.sink.touched(kind, what)
}

/** Reports the refusal and returns the error to throw. `what` reads "change directory to '/'", `remedy` is a sentence. */
export function refusal(scope: RunScope, kind: string, what: string, remedy: string): ByreError {
  touch(scope, kind, `${kind.includes('.') ? kind : `process.${kind}`} refused`)
  return new ByreError(
    'BYRE_PROCESS_SHARED',
    `Cannot ${what} in worker '${scope.worker}': it shares its process with others. ${remedy}`,
  )
}

/** Replaces `process[name]`; returns the undo. A function gets that name, as stacks and warnings of Node show it. */
export function override(name: string, value: unknown): () => void {
  if (typeof value === 'function') Object.defineProperty(value, 'name', { value: name, configurable: true })
  return redefine(name, { value, configurable: true, writable: true, enumerable: true })
}

/** Like `override`, with a property descriptor. */
export function redefine(name: string, descriptor: PropertyDescriptor): () => void {
  const original = Object.getOwnPropertyDescriptor(process, name)
  Object.defineProperty(process, name, descriptor)
  return () => {
    if (original === undefined) delete (process as unknown as Record<string, unknown>)[name]
    else Object.defineProperty(process, name, original)
  }
}

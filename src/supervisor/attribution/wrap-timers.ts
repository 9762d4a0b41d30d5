// Timers and microtasks a worker starts: throws are charged at once, entries leave a breadcrumb, and timers that
// outlive their run are named and cleared.

import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import { currentScope, noteEntry, strayIn } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

/** Timers tracked per run; beyond it they are counted, not listed. */
const TIMERS_MAX = 10_000
type AnyFunction = (...args: unknown[]) => unknown
type Host = Record<string, AnyFunction>

/** Wraps setTimeout, setInterval, their clears and queueMicrotask on globalThis and node:timers; returns its undo. */
export function wrapTimers(): () => void {
  const undos: (() => void)[] = []
  for (const host of [globalThis, timers] as unknown as Host[]) {
    undos.push(replace(host, 'setTimeout', (original) => setter(original, 'setTimeout', true)))
    undos.push(replace(host, 'setInterval', (original) => setter(original, 'setInterval', false)))
    undos.push(replace(host, 'clearTimeout', clearer))
    undos.push(replace(host, 'clearInterval', clearer))
  }
  // Node 20 and 22 lose the async context of a bare queueMicrotask in uncaughtException.
  undos.push(replace(globalThis as unknown as Host, 'queueMicrotask', microtask))
  syncBuiltinESMExports()
  return () => {
    for (const undo of undos) undo()
    syncBuiltinESMExports()
  }
}

function replace(host: Host, name: string, wrap: (original: AnyFunction) => AnyFunction): () => void {
  const original = host[name] as AnyFunction
  const wrapped = wrap(original)
  // util.promisify(setTimeout) finds its promise form under a symbol of the function.
  Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original))
  host[name] = wrapped
  return () => {
    if (host[name] === wrapped) host[name] = original
  }
}

function setter(original: AnyFunction, name: string, once: boolean): AnyFunction {
  return function (this: unknown, callback: unknown, ...rest: unknown[]) {
    const scope = currentScope()
    if (scope === undefined || typeof callback !== 'function') return original.call(this, callback, ...rest)
    const wrapped = function (this: object, ...args: unknown[]): void {
      if (once) scope.timers?.delete(this)
      noteEntry(scope)
      try {
        ;(callback as AnyFunction).apply(this, args)
      } catch (error) {
        strayIn(scope, error, name)
      }
    }
    const handle = original.call(this, wrapped, ...rest) as object
    track(scope, handle, callback as AnyFunction)
    return handle
  }
}

function track(scope: RunScope, handle: object, callback: AnyFunction): void {
  const timers = (scope.timers ??= new Map())
  if (timers.size >= TIMERS_MAX) {
    for (const known of timers.keys()) if (!isPending(known)) timers.delete(known)
  }
  if (timers.size < TIMERS_MAX) timers.set(handle, callback)
  else scope.timersUntracked++
}

/** Timeout#close() and clearTimeout(id) go past the wrapped clears; `_destroyed` is what Node 20 to 26 set then. */
function isPending(handle: object): boolean {
  return (handle as { _destroyed?: boolean })._destroyed !== true
}

/** Names the timers that are still pending and clears them, so that an ended run does not go on. */
export function clearLeakedTimers(scope: RunScope): string[] {
  const names: string[] = []
  for (const [handle, callback] of scope.timers ?? []) {
    if (!isPending(handle)) continue
    names.push(
      `${isRepeating(handle) ? 'setInterval' : 'setTimeout'}(${callback.name === '' ? 'anonymous' : callback.name})`,
    )
    clearTimeout(handle as NodeJS.Timeout)
  }
  scope.timers = undefined
  return names
}

function isRepeating(handle: object): boolean {
  return typeof (handle as { _repeat?: unknown })._repeat === 'number'
}

function clearer(original: AnyFunction): AnyFunction {
  return function (this: unknown, handle: unknown) {
    if (typeof handle === 'object' && handle !== null) currentScope()?.timers?.delete(handle)
    return original.call(this, handle)
  }
}

function microtask(original: AnyFunction): AnyFunction {
  return function (this: unknown, callback: unknown) {
    const scope = currentScope()
    if (scope === undefined || typeof callback !== 'function') return original.call(this, callback)
    return original.call(this, () => {
      try {
        ;(callback as AnyFunction)()
      } catch (error) {
        strayIn(scope, error, 'queueMicrotask')
      }
    })
  }
}

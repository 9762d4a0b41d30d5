// Timers that a worker starts are remembered for its run, so that those that outlive it can be named and cleared. The
// callbacks stay as they are: Node carries the async context of setTimeout and setInterval to 'uncaughtException'.

import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import { currentScope, strayIn } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type AnyFunction = (...args: unknown[]) => unknown
type Host = Record<string, AnyFunction>

/** Fewer handles than this are not searched for those that are done. */
const TIMERS_MIN = 64

/** Wraps setTimeout and setInterval on globalThis and node:timers; returns its undo. */
export function rememberTimers(): () => void {
  const hosts = [globalThis, timers] as unknown as Host[]
  const undos = [replace(hosts, 'setTimeout', starter), replace(hosts, 'setInterval', starter)]
  syncBuiltinESMExports()
  return () => {
    for (const undo of undos) undo()
    syncBuiltinESMExports()
  }
}

/** Where Node loses the async context of a bare queueMicrotask in 'uncaughtException': wraps it. Returns its undo. */
export function wrapMicrotasks(): () => void {
  return losesMicrotasks() ? replace([globalThis as unknown as Host], 'queueMicrotask', microtask) : () => {}
}

/** Node 24 carries the context with V8's continuation data instead of promise hooks. */
function losesMicrotasks(): boolean {
  return Number(process.versions.node.split('.')[0]) < 24
}

function replace(
  hosts: readonly Host[],
  name: string,
  wrap: (original: AnyFunction) => AnyFunction,
): () => void {
  const original = (hosts[0] as Host)[name] as AnyFunction
  const wrapped = wrap(original)
  // util.promisify(setTimeout) finds its promise form under a symbol of the function.
  Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original))
  for (const host of hosts) host[name] = wrapped
  return () => {
    for (const host of hosts) if (host[name] === wrapped) host[name] = original
  }
}

function starter(original: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: unknown[]) {
    const handle = original.apply(this, args)
    const scope = currentScope()
    if (scope !== undefined) remember(scope, handle as object)
    return handle
  }
}

/** What is done is dropped when the number of handles has doubled: a handle keeps its callback and what that closes over. */
function remember(scope: RunScope, handle: object): void {
  const timers = (scope.timers ??= new Set())
  if (timers.size >= scope.timersCheckAt) {
    for (const known of timers) if (!isPending(known)) timers.delete(known)
    scope.timersCheckAt = Math.max(TIMERS_MIN, 2 * timers.size)
  }
  timers.add(handle)
}

/** What Node 20 to 26 set when a timer has fired, was cleared or closed. */
function isPending(handle: object): boolean {
  return (handle as { _destroyed?: boolean })._destroyed !== true
}

/** Names the timers that are still pending and clears them, so that an ended run does not go on. */
export function clearLeakedTimers(scope: RunScope): string[] {
  const names: string[] = []
  for (const handle of scope.timers ?? []) {
    if (!isPending(handle)) continue
    names.push(nameOf(handle))
    clearTimeout(handle as NodeJS.Timeout)
  }
  scope.timers = undefined
  return names
}

function nameOf(handle: object): string {
  const { _repeat, _onTimeout } = handle as { _repeat?: unknown; _onTimeout?: { name?: unknown } | null }
  const name = _onTimeout?.name
  const callback = typeof name === 'string' && name !== '' ? name : 'anonymous'
  return `${typeof _repeat === 'number' ? 'setInterval' : 'setTimeout'}(${callback})`
}

function microtask(original: AnyFunction): AnyFunction {
  return function (this: unknown, callback: unknown) {
    const scope = currentScope()
    if (scope === undefined || typeof callback !== 'function') return original.call(this, callback)
    return original.call(this, () => {
      try {
        ;(callback as AnyFunction)()
      } catch (error) {
        strayIn(scope, error, 'uncaughtException')
      }
    })
  }
}

// Keeps the process's signal and error handlers for byre: a worker's handlers are not attached, and a worker can remove only
// its own listeners.

import type { EventEmitter } from 'node:events'
import { override, touch } from './override.ts'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type Method = (this: unknown, event: string | symbol, ...rest: unknown[]) => unknown

const ATTACH = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const
const DETACH = ['off', 'removeListener'] as const
const ERRORS = new Set([
  'uncaughtException',
  'unhandledRejection',
  'uncaughtExceptionMonitor',
  'rejectionHandled',
  'multipleResolves',
])

/**
 * Installs the guards on `process`; returns their undo. `alone`: the worker has the process to itself and may handle its own
 * errors; signals remain byre's.
 */
export function guardListeners(alone: boolean): () => void {
  const host = process as unknown as Record<string, Method>
  const undos: (() => void)[] = []
  /** Replaces the method for guarded events in a worker; other calls are passed on. */
  const guard = (
    method: string,
    instead: (scope: RunScope, event: string, rest: readonly unknown[]) => unknown,
  ): void => {
    const original = host[method] as Method
    undos.push(
      override(method, (event: string | symbol, ...rest: unknown[]) => {
        const scope = currentScope()
        return scope === undefined || !isGuarded(event, alone)
          ? original.call(process, event, ...rest)
          : instead(scope, event, rest)
      }),
    )
  }
  for (const method of ATTACH)
    guard(method, (scope, event) => {
      touch(
        scope,
        `on:${event}`,
        `process.on('${event}') not attached: use ctx.signal, or placement 'process'`,
      )
      return process
    })
  for (const method of DETACH)
    guard(method, (scope, event) => {
      touch(
        scope,
        `removeListener:${event}`,
        `process.removeListener('${event}') ignored: the listeners belong to byre`,
      )
      return process
    })
  const emit = host['emit'] as Method
  guard('emit', (scope, event, rest) => {
    if (!event.startsWith('SIG')) return emit.call(process, event, ...rest) // an error that a worker emits is its own
    touch(scope, `emit:${event}`, `process.emit('${event}') ignored: to end the worker, return from run()`)
    return false
  })
  undos.push(guardRemoveAll())
  return () => {
    for (const undo of undos) undo()
  }
}

function guardRemoveAll(): () => void {
  const removeAll = process.removeAllListeners.bind(process)
  return override('removeAllListeners', (event?: string | symbol) => {
    const scope = currentScope()
    if (scope === undefined) return event === undefined ? removeAll() : removeAll(event)
    const argument = event === undefined ? '' : `'${String(event)}'`
    touch(
      scope,
      'removeAllListeners',
      `process.removeAllListeners(${argument}) removed only the worker's own`,
    )
    for (const entry of scope.foreignListeners ?? []) {
      if ((entry.emitter.deref() as EventEmitter | undefined) !== process) continue
      if (event === undefined || entry.event === event) entry.remove()
    }
    return process
  })
}

function isGuarded(event: string | symbol, alone: boolean): event is string {
  return typeof event === 'string' && (/^SIG[A-Z0-9]+$/.test(event) || (!alone && ERRORS.has(event)))
}

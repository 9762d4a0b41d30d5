// Keeps the process's signal and error events for byre: a worker's listeners for them are on its own list (process-events.ts),
// and a worker can see and remove only its own.

import type { EventEmitter } from 'node:events'
import { ownerHere } from './evaluation.ts'
import { override, touch } from './override.ts'
import {
  emitTo,
  isEmittedByByre,
  isEnd,
  isKept,
  listenForSignal,
  noteListener,
  processEvents,
} from './process-events.ts'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'
import { removeForeign } from './wrap-events.ts'

type Method = (this: unknown, event: string | symbol, ...rest: unknown[]) => unknown

const ADDING = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const
const ADDS: ReadonlySet<string> = new Set(ADDING)
/** Methods of an emitter whose first argument is the event. */
const OF_AN_EVENT = [
  ...ADDING,
  'off',
  'removeListener',
  'listeners',
  'rawListeners',
  'listenerCount',
] as const

/**
 * Installs the guards on `process`; returns their undo. `alone`: the worker has the process to itself and may handle its own
 * errors; signals remain byre's.
 */
export function guardListeners(alone: boolean): () => void {
  const host = process as unknown as Record<string, Method>
  const undos = OF_AN_EVENT.map((method) => {
    const original = host[method] as Method
    return override(method, (event: string | symbol, ...rest: unknown[]) => {
      const scope = currentScope()
      if (scope === undefined || !isKept(event, alone)) return original.call(process, event, ...rest)
      // An imported module cleans up for all workers: when the process ends.
      if (isEnd(event) && ownerHere(scope) === undefined) return original.call(process, event, ...rest)
      const own = processEvents(scope)
      if (ADDS.has(method) && scope.ended) return process // nobody would remove it, and it would take errors of later runs
      if (ADDS.has(method)) {
        // node:domain waits for it on `process`.
        ;(process as EventEmitter).emit('newListener', event, rest[0])
        listenForSignal(scope, event)
      }
      const result = (own[method] as Method).call(own, event, ...rest)
      if (ADDS.has(method)) noteListener(scope, event, rest[0] as (...args: unknown[]) => void)
      return result === own ? process : result
    })
  })
  undos.push(guardEmit(), guardRemoveAll(alone), guardEventNames(alone))
  return () => {
    for (const undo of undos) undo()
  }
}

function guardEmit(): () => void {
  const emit = process.emit.bind(process) as (...args: unknown[]) => boolean
  return override('emit', (event: string | symbol, ...args: unknown[]) => {
    const scope = currentScope()
    if (scope === undefined || !isEmittedByByre(event)) return emit(event, ...args)
    return emitTo(scope, event, ...args)
  })
}

function guardRemoveAll(alone: boolean): () => void {
  const removeAll = process.removeAllListeners.bind(process)
  return override('removeAllListeners', (event?: string | symbol) => {
    const scope = currentScope()
    if (scope === undefined) return event === undefined ? removeAll() : removeAll(event)
    if (event === undefined) processEvents(scope).removeAllListeners()
    else if (isKept(event, alone)) processEvents(scope).removeAllListeners(event)
    if (event === undefined || !isKept(event, alone)) removeOwn(scope, event)
    return process
  })
}

function removeOwn(scope: RunScope, event: string | symbol | undefined): void {
  const argument = event === undefined ? '' : `'${String(event)}'`
  touch(scope, 'removeAllListeners', `process.removeAllListeners(${argument}) removed only the worker's own`)
  for (const entry of scope.foreignListeners ?? []) {
    if ((entry.emitter.deref() as EventEmitter | undefined) !== process) continue
    if (event === undefined || entry.event === event) removeForeign(entry)
  }
}

function guardEventNames(alone: boolean): () => void {
  const eventNames = process.eventNames.bind(process)
  return override('eventNames', () => {
    const scope = currentScope()
    if (scope === undefined) return eventNames()
    return [...eventNames().filter((event) => !isKept(event, alone)), ...processEvents(scope).eventNames()]
  })
}

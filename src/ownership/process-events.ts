// A worker's listeners on `process` for its own errors and warnings, for signals and for its end. In a process that several workers
// share each worker has its own list: byre calls it with the errors that belong to the worker, with SIGTERM when the worker is
// stopped, and with 'exit' when its run ends, as Node does for a program that is alone. The list belongs to the worker and not to a run, since its module is evaluated once;
// what a run adds is removed with the run.

import { EventEmitter } from 'node:events'
import { constants } from 'node:os'
import { ownerHere } from './evaluation.ts'
import { enter, runInScope, strayIn } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'
import { stamp } from './stamp.ts'
import { isNodesOnce } from './wrap-events.ts'

/** Events of one worker, which no other worker's handler may receive. */
const OF_A_WORKER = new Set([
  'uncaughtException',
  'uncaughtExceptionMonitor',
  'unhandledRejection',
  'rejectionHandled',
  'warning',
])
/** The end of a run. A worker that has the process or thread to itself has several runs in it as well. */
const ENDS = new Set(['beforeExit', 'exit'])
const SIGNAL = /^SIG[A-Z0-9]+$/

/** Named in log lines by its class. */
const OwnList = { process: class extends EventEmitter {} }.process
const emitters = new Map<string, EventEmitter>()

/** Whether listeners for `event` are kept per worker. `alone`: one worker has the process to itself and Node calls its
 *  handlers of errors; signals and the end remain byre's. */
export function isKept(event: unknown, alone: boolean): event is string {
  return typeof event === 'string' && (isEmittedByByre(event) || (!alone && OF_A_WORKER.has(event)))
}

export function isEnd(event: string): boolean {
  return ENDS.has(event)
}

/** Not the others: Node itself emits them in the worker's context, and byre's listener passes them to the worker's. */
export function isEmittedByByre(event: unknown): event is string {
  return typeof event === 'string' && (SIGNAL.test(event) || isEnd(event))
}

/** The list of the worker of `scope`. */
export function processEvents({ worker }: RunScope): EventEmitter {
  let emitter = emitters.get(worker)
  if (emitter === undefined) {
    emitter = runInScope(undefined, () => new OwnList())
    stamp(emitter, { worker }) // its listeners run in the context of the run that the event belongs to
    emitters.set(worker, emitter)
  }
  return emitter
}

/** Signals that mean nothing to the supervisor or to its unit: programs use them for what they like. */
const FREE = new Set(['SIGUSR2', 'SIGWINCH', 'SIGCONT'])
/** The runs that listen for each free signal, by signal and by worker. */
const listening = new Map<string, Map<string, RunScope>>()

/** From now on a free signal that is sent to the process from outside reaches the worker's list; without a listener of the
 *  process it would end it. */
export function listenForSignal(scope: RunScope, name: string): void {
  if (!FREE.has(name)) return
  const scopes = listening.get(name)
  if (scopes !== undefined) return void scopes.set(scope.worker, scope)
  const first = new Map([[scope.worker, scope]])
  listening.set(name, first)
  runInScope(undefined, () =>
    process.on(name as NodeJS.Signals, () => {
      for (const each of first.values()) deliverSignal(each, name as NodeJS.Signals)
    }),
  )
}

export function hasListener({ worker }: RunScope, event: string): boolean {
  return (emitters.get(worker)?.listenerCount(event) ?? 0) > 0
}

/** Calls the worker's listeners in its context. False if it has none. Throws what a listener throws. */
export function emitTo(scope: RunScope, event: string, ...args: readonly unknown[]): boolean {
  const emitter = emitters.get(scope.worker)
  if (emitter === undefined || emitter.listenerCount(event) === 0) return false
  enter(scope, () => callListeners(emitter, event, args))
  return true
}

/** Unlike emit() of the list, it passes `process` as `this`. */
function callListeners(emitter: EventEmitter, event: string, args: readonly unknown[]): void {
  for (const listener of emitter.rawListeners(event)) {
    const once = isNodesOnce(listener)
    if (once) emitter.removeListener(event, listener)
    Reflect.apply(once ? listener.listener : listener, process, args)
  }
}

/** Calls the worker's own listeners of a signal. What one throws is a stray error of the worker. */
export function deliverSignal(scope: RunScope, name: NodeJS.Signals): void {
  try {
    emitTo(scope, name, name, constants.signals[name])
  } catch (error) {
    strayIn(scope, error, `listener of '${name}'`)
  }
}

/** The run ends: calls the worker's listeners of 'exit', and of 'beforeExit' before if it ends by itself. What they throw is
 *  reported by `onError`: nothing can be done about it any more. */
export function emitEnd(
  scope: RunScope,
  { code, natural }: { readonly code: number; readonly natural: boolean },
  onError: (error: unknown, event: string) => void,
): void {
  for (const event of natural ? ['beforeExit', 'exit'] : ['exit']) {
    try {
      emitTo(scope, event, code)
    } catch (error) {
      onError(error, event)
    }
  }
}

const LISTENERS_MAX = 1000

/** Notes a listener that `scope` has added: it ends with what it belongs to. */
export function noteListener(scope: RunScope, event: string, listener: (...args: unknown[]) => void): void {
  const owner = ownerHere(scope)
  if (owner === undefined) return
  const emitter = processEvents(scope)
  const remove = (): boolean => {
    const before = emitter.listenerCount(event)
    emitter.removeListener(event, listener)
    return emitter.listenerCount(event) < before
  }
  const listeners = (owner.processListeners ??= [])
  if (listeners.length < LISTENERS_MAX) listeners.push({ event, remove })
}

/** Ends what the run has added to `process` and to async_hooks; the names of the listeners that were there still,
 *  but for those of its end. */
export function endProcessUse(scope: RunScope): string[] {
  for (const hook of scope.hooks ?? []) hook.disable()
  return (scope.processListeners ?? [])
    .filter(({ event, remove }) => remove() && !ENDS.has(event))
    .map(({ event }) => `process.on('${event}')`)
}

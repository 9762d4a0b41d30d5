// Marks a worker's timers with its run, so that timers that outlive the run can be reported and cleared. Callbacks are not
// wrapped: Node carries the async context of setTimeout and setInterval to 'uncaughtException'.
//
// Timeouts are not kept in a set: that would cost 80 ns each and keep fired timers alive. Node keeps one linked list per
// duration, which can be reached from any timer of that duration (`_idleNext`, lib/internal/timers.js; the same from Node 20
// to 26, tested there), so only the durations are recorded.

import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import { currentScope, runInScope, strayIn } from './run-scope.ts'
import type { RunScope, StartedTimers, TimerHandle } from './run-scope.ts'
import { setUpHere } from './set-up.ts'
import type { Closed } from './set-up.ts'
import { makerOf, stamp } from './stamp.ts'

type AnyFunction = (...args: unknown[]) => unknown
type Host = Record<string, AnyFunction>

/** Durations and intervals are searched for finished ones only from this number on. */
const CHECK_MIN = 256

// Captured before they are replaced.
const { setTimeout: nodesSetTimeout, clearTimeout: nodesClearTimeout } = globalThis

/** Wraps setTimeout and setInterval on globalThis and node:timers; returns the undo. */
export function rememberTimers(): () => void {
  const hosts = [globalThis, timers] as unknown as Host[]
  const undos = [
    replace(hosts, 'setTimeout', (original) => starter(original, noteTimeout)),
    replace(hosts, 'setInterval', (original) => starter(original, noteInterval)),
  ]
  syncBuiltinESMExports()
  return () => {
    for (const undo of undos) undo()
    syncBuiltinESMExports()
  }
}

/** Wraps queueMicrotask where Node loses its async context in 'uncaughtException'. Returns the undo. */
export function wrapMicrotasks(): () => void {
  return losesMicrotasks() ? replace([globalThis as unknown as Host], 'queueMicrotask', microtask) : () => {}
}

/** From Node 24 on, V8's continuation data carries the context instead of promise hooks. */
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

function starter(original: AnyFunction, note: (scope: RunScope, handle: TimerHandle) => void): AnyFunction {
  return function (this: unknown, callback: unknown, delayMs: unknown, ...rest: unknown[]) {
    const scope = currentScope()
    // Before the timer is started, because it captures the current async context.
    const setUp = scope?.loading === true ? setUpHere(scope) : undefined
    const handle =
      rest.length === 0
        ? original.call(this, callback, delayMs)
        : original.call(this, callback, delayMs, ...rest)
    if (setUp !== undefined) setUp.add(handle as object, closeTimer)
    else if (scope?.loading === false) note(scope, handle as TimerHandle)
    return handle
  }
}

function startedBy(scope: RunScope): StartedTimers {
  scope.timers ??= {
    durations: new Set(),
    lastDuration: -1,
    durationsCheckAt: CHECK_MIN,
    intervals: [],
    intervalsCheckAt: CHECK_MIN,
  }
  return scope.timers
}

function noteTimeout(scope: RunScope, handle: TimerHandle): void {
  const started = startedBy(scope)
  stamp(handle, scope)
  // Node's lists are per whole millisecond.
  const ms = Math.trunc(handle._idleTimeout)
  if (ms === started.lastDuration) return
  started.lastDuration = ms
  const { durations } = started
  if (durations.size >= started.durationsCheckAt) {
    for (const known of durations) if (timeoutsOf(scope, known).length === 0) durations.delete(known)
    started.durationsCheckAt = Math.max(CHECK_MIN, 2 * durations.size)
  }
  durations.add(ms)
}

function noteInterval(scope: RunScope, handle: TimerHandle): void {
  const started = startedBy(scope)
  if (started.intervals.length >= started.intervalsCheckAt) {
    started.intervals = started.intervals.filter(isPending)
    started.intervalsCheckAt = Math.max(CHECK_MIN, 2 * started.intervals.length)
  }
  started.intervals.push(handle)
}

function isPending(handle: TimerHandle): boolean {
  return !handle._destroyed
}

/** The pending timeouts of `ms` that `scope` started. */
function timeoutsOf(scope: RunScope, ms: number): TimerHandle[] {
  const found: TimerHandle[] = []
  const probe = runInScope(undefined, () => nodesSetTimeout(() => {}, ms)) as unknown as TimerHandle
  // The list is circular; its head is not a timer and ends the search.
  for (let next = probe._idleNext; next !== null && next._onTimeout !== undefined; next = next._idleNext)
    if (makerOf(next) === scope) found.push(next)
  clear(probe)
  return found
}

function clear(handle: TimerHandle): void {
  nodesClearTimeout(handle as unknown as NodeJS.Timeout)
}

/** Clears the timers that are still pending, so that an ended run does not continue; returns their names. */
export function clearLeakedTimers(scope: RunScope): string[] {
  const { timers: started } = scope
  if (started === undefined) return []
  const left = [
    ...started.intervals.filter(isPending),
    ...[...started.durations].flatMap((ms) => timeoutsOf(scope, ms)),
  ]
  const names = left.map(nameOf) // before clearTimeout removes the callback
  for (const handle of left) clear(handle)
  scope.timers = undefined
  return names
}

function closeTimer(timer: object): Closed | undefined {
  const handle = timer as TimerHandle
  if (!isPending(handle)) return undefined
  const name = nameOf(handle)
  clear(handle)
  return { kind: 'timers', name }
}

function nameOf({ _repeat, _onTimeout }: TimerHandle): string {
  const name = _onTimeout?.name
  const callback = typeof name === 'string' && name !== '' ? name : 'anonymous'
  return `${_repeat === null ? 'setTimeout' : 'setInterval'}(${callback})`
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

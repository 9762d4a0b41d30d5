// Finds the timers of a run that outlive it, so that they can be reported and cleared. Callbacks are not wrapped: Node carries
// the async context of a timer to its callback and to 'uncaughtException'.
//
// Timeouts are not kept in a set: that would cost 80 ns each and keep fired timers alive. Node keeps one linked list per
// duration, which can be reached from any timer of that duration (`_idleNext`, lib/internal/timers.js; the same from Node 20
// to 26, tested there), so only the durations are recorded.

import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import { isUndiciOnStack, ownerHere, ownerOfRare } from './evaluation.ts'
import { sweep } from './handles.ts'
import { currentScope, moveTimer, runInScope, scopeOf, SHARED, strayIn } from './run-scope.ts'
import type { RunScope, StartedTimers, TimerHandle } from './run-scope.ts'
import { makerOf, stamp } from './stamp.ts'

type AnyFunction = (...args: unknown[]) => unknown
type Host = Record<string, AnyFunction>

/** Durations and intervals are searched for finished ones only from this number on. */
const CHECK_MIN = 256
const NAMED_MAX = 20

// Captured before they are replaced.
const {
  setTimeout: nodesSetTimeout,
  clearTimeout: nodesClearTimeout,
  setImmediate: nodesSetImmediate,
  clearImmediate: nodesClearImmediate,
} = globalThis

/** Wraps setTimeout and setInterval on globalThis, node:timers and node:timers/promises; returns the undo. */
export function rememberTimers(): () => void {
  const hosts = [globalThis, timers] as unknown as Host[]
  const promises = timersPromises as unknown as Host
  const undos = [
    replace(hosts, 'setTimeout', (original) => starter(original, ownerHere, noteTimeout)),
    replace(hosts, 'setInterval', (original) => starter(original, ownerOfRare, noteInterval)),
    replace([promises], 'setTimeout', promiseStarter),
    replace([promises], 'setInterval', promiseStarter),
    replace([Object.getPrototypeOf(timersPromises.scheduler) as Host], 'wait', promiseStarter),
    watchRefresh(),
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

type Owner = (scope: RunScope) => RunScope | undefined

function starter(
  original: AnyFunction,
  ownerOf: Owner,
  note: (scope: RunScope, handle: TimerHandle) => void,
): AnyFunction {
  return function (this: unknown, callback: unknown, delayMs: unknown, ...rest: unknown[]) {
    const scope = currentScope()
    // Before the timer is started, because it captures the current async context.
    const owner = scope === undefined ? undefined : ownerOf(scope)
    if (owner !== undefined && isClockOfUndici(callback))
      return runInScope(owner.load, () => original.call(this, callback, delayMs, ...rest))
    const handle =
      rest.length === 0
        ? original.call(this, callback, delayMs)
        : original.call(this, callback, delayMs, ...rest)
    if (owner !== undefined) note(owner, handle as TimerHandle)
    return handle
  }
}

/** undici has one timer for all its time-outs, and starts it in the run whose request comes first. */
function isClockOfUndici(callback: unknown): boolean {
  if (typeof callback !== 'function') return false
  const { name } = callback
  return (name === 'onTick' || name === 'onTimeout') && isUndiciOnStack()
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
  if (scope.ended) clearLate(scope, [handle])
  else noteDuration(scope, Math.trunc(handle._idleTimeout)) // Node's lists are per whole millisecond
}

function noteDuration(scope: RunScope, ms: number): void {
  const started = startedBy(scope)
  if (ms === started.lastDuration) return
  started.lastDuration = ms
  const { durations } = started
  if (durations.size >= started.durationsCheckAt) {
    for (const known of durations) if (timeoutsOf(scope, known).length === 0) durations.delete(known)
    started.durationsCheckAt = Math.max(CHECK_MIN, 2 * durations.size)
  }
  durations.add(ms)
}

/** The timer of a promise is in none of its properties; it is found in the list of its duration. */
function promiseStarter(original: AnyFunction): AnyFunction {
  return function (this: unknown, delayMs: unknown, ...rest: unknown[]) {
    const scope = currentScope()
    const owner = scope === undefined ? undefined : ownerHere(scope)
    const result = original.call(this, delayMs, ...rest)
    if (owner !== undefined) {
      const ms = wholeMs(delayMs)
      if (owner.ended) clearLate(owner, timeoutsOf(owner, ms))
      else noteDuration(owner, ms)
    }
    return result
  }
}

/** As Node reads a delay (the constructor of Timeout in lib/internal/timers.js). */
function wholeMs(delayMs: unknown): number {
  const ms = Number(delayMs)
  return ms >= 1 && ms <= DELAY_MAX_MS ? Math.trunc(ms) : 1
}

const DELAY_MAX_MS = 2 ** 31 - 1

function noteInterval(scope: RunScope, handle: TimerHandle): void {
  if (scope.ended) return clearLate(scope, [handle])
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

/** A timer that another worker has refreshed is shared and stays. */
function isOf(scope: RunScope, timer: TimerHandle): boolean {
  return scopeOf(timer) === scope && makerOf(timer) !== SHARED
}

/** The pending timeouts of `ms` that `scope` started. */
function timeoutsOf(scope: RunScope, ms: number): TimerHandle[] {
  return runInScope(undefined, () => [...pendingOf(scope, [ms])])
}

/** Call it outside every worker's context. */
function* pendingOf(scope: RunScope, durations: Iterable<number>): Iterable<TimerHandle> {
  for (const ms of durations) {
    const probe = nodesSetTimeout(nothing, ms) as unknown as TimerHandle
    // The list is circular; its head is not a timer and ends the search.
    for (let next = probe._idleNext; next !== null && next._onTimeout !== undefined; ) {
      const each = next
      next = next._idleNext // before the caller clears it
      if (isOf(scope, each)) yield each
    }
    clear(probe)
  }
}

function nothing(): void {}

function clear(handle: TimerHandle): void {
  nodesClearTimeout(handle as unknown as NodeJS.Timeout)
}

/** Clears timers that code of an ended run has started. */
function clearLate(scope: RunScope, handles: readonly TimerHandle[]): void {
  for (const handle of handles) {
    sweep(scope, nameOf(handle))
    clear(handle)
  }
}

/** A worker that refreshes a timer of another worker uses it. Returns the undo. */
function watchRefresh(): () => void {
  const sample = nodesSetTimeout(() => {}, 1)
  const prototype = Object.getPrototypeOf(sample) as { refresh: (this: TimerHandle) => TimerHandle }
  nodesClearTimeout(sample)
  const original = prototype.refresh
  const replacement = function refresh(this: TimerHandle): TimerHandle {
    const user = currentScope()
    if (user !== undefined) share(this, user)
    return original.call(this)
  }
  prototype.refresh = replacement
  return () => {
    if (prototype.refresh === replacement) prototype.refresh = original
  }
}

/** From now on Node calls the callback of a shared timer in the scope of the load, which does not end. */
function share(timer: TimerHandle, user: RunScope): void {
  const maker = scopeOf(timer)
  if (maker === undefined || maker.worker === user.worker || maker.part === 'load') return
  stamp(timer, SHARED)
  if (maker.load !== undefined) moveTimer(timer, maker.load)
}

/** Clears the timers and immediates that are still pending, so that an ended run does not continue, one with each step. Adds the
 *  names of the first 20 to `names`. */
export function* clearTimers(scope: RunScope, names: string[]): Generator<void> {
  clearImmediates(scope)
  const { timers: started } = scope
  scope.timers = undefined
  if (started === undefined) return
  for (const timers of [started.intervals, pendingOf(scope, started.durations)])
    for (const timer of timers) {
      // An interval is in Node's lists as well, except while its callback runs.
      if (!isPending(timer) || makerOf(timer) === SHARED) continue
      if (names.length < NAMED_MAX) names.push(nameOf(timer)) // before clearTimeout removes the callback
      clear(timer)
      yield
    }
}

/** Looks again in the next turn for as long as the code of the run goes on starting some. */
function clearImmediates(scope: RunScope): void {
  let found = false
  const probe = runInScope(undefined, () => nodesSetImmediate(() => found && clearImmediates(scope)))
  let each = (probe as unknown as QueuedImmediate)._idlePrev
  for (; each !== null; ) {
    const before = each._idlePrev
    if (scopeOf(each) === scope) {
      found = true
      nodesClearImmediate(each as unknown as NodeJS.Immediate)
    }
    each = before
  }
}

/** Node's queue of immediates is a linked list (lib/internal/timers.js; tested on Node 20 to 26). */
interface QueuedImmediate {
  readonly _idlePrev: QueuedImmediate | null
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

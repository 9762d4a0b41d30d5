// Listeners on an emitter of another worker, of a shared module or of the process run in the context of the worker that
// registered them, regardless of the emitting code: errors are charged to that worker and never reach that code. Node
// carries the async context through timers and promises, not through emit(). A worker's listeners on its own emitters are
// not wrapped and behave as in Node.

import { EventEmitter } from 'node:events'
import { ownerHere, ownerOfRare } from './evaluation.ts'
import { closeChild, guardSpawn } from './guard-spawn.ts'
import { classify, noteHandle, noteUse, watchUse } from './handles.ts'
import { callAs, currentScope } from './run-scope.ts'
import type { ForeignListener, RunScope } from './run-scope.ts'
import { makerOf, stamp } from './stamp.ts'

type Listener = (...args: unknown[]) => unknown
type Method = (this: EventEmitter, ...args: unknown[]) => unknown

/** A registered listener. `listener` is the function that the worker passed; `listeners()` and `off()` use it. */
interface Wrapped extends Listener {
  listener: Listener
  /** The function that rawListeners() returns for it; absent for a once-listener, for which Node returns a wrapper as well. */
  raw?: Listener
}

/** Maximum number of listeners on foreign emitters recorded per run, to be removed and reported when it ends. */
const FOREIGN_LISTENERS_MAX = 1000
/** The list is searched for removed listeners only from this length on. */
const FOREIGN_LISTENERS_MIN = 32

/** Installs the wrapping on EventEmitter.prototype; returns its undo. */
export function wrapEvents(): () => void {
  return install(
    wrapAdding(wrapListener, 'on', 'addListener'),
    wrapAdding(wrapListener, 'prependListener'),
    wrapRawListeners(),
    stampEmitters(),
    () => {
      undoRemoving?.()
      undoRemoving = undefined
    },
  )
}

/** For a process or thread with one worker: its listeners are not wrapped, only recorded for the end of its run. */
export function rememberListeners(): () => void {
  const asIs: Wrap = (_scope, _emitter, _event, listener) => listener
  return install(wrapAdding(asIs, 'on', 'addListener'), wrapAdding(asIs, 'prependListener'), stampEmitters())
}

function install(...undos: readonly (() => void)[]): () => void {
  return () => {
    for (const undo of undos) undo()
  }
}

type Wrap = (scope: RunScope, emitter: EventEmitter, event: string | symbol, listener: Listener) => Listener

/** Node's once() and prependOnceListener() call on() and prependListener() with a wrapper. */
function wrapAdding(wrap: Wrap, ...names: readonly ('on' | 'addListener' | 'prependListener')[]): () => void {
  return replaceMethod(
    names,
    (original) =>
      function (this: EventEmitter, event: unknown, listener: unknown) {
        const scope = currentScope()
        if (scope === undefined || makerOf(this)?.worker === scope.worker || typeof listener !== 'function')
          return original.call(this, event, listener)
        const owner = ownerHere(scope)
        if (owner === undefined) return original.call(this, event, listener)
        noteUse(this)
        const wrapped = wrap(owner, this, event as string | symbol, listener as Listener)
        rememberForeign(owner, this, event as string | symbol, wrapped)
        return original.call(this, event, wrapped)
      },
  )
}

function wrapListener(
  scope: RunScope,
  emitter: EventEmitter,
  event: string | symbol,
  listener: Listener,
): Wrapped {
  const via = `listener of '${String(event)}'`
  if (!isNodesOnce(listener)) {
    const { listener: carried } = listener as Partial<Wrapped>
    if (carried !== undefined) undoRemoving ??= wrapRemoving()
    const wrapped = function (this: unknown, ...args: unknown[]): unknown {
      if (currentScope() === scope) return listener.apply(this, args)
      return callAs(scope, via, () => listener.apply(this, args))
    }
    return Object.assign(wrapped, {
      listener: carried ?? listener,
      raw: listener,
    })
  }
  // Replaces Node's wrapper instead of wrapping it: Node's wrapper removes itself by identity, which would not be in the list.
  const { listener: once } = listener
  let fired = false
  const wrapped = function (...args: unknown[]): unknown {
    if (fired) return undefined
    emitter.removeListener(event, wrapped)
    fired = true
    if (currentScope() === scope) return once.apply(emitter, args)
    return callAs(scope, via, () => once.apply(emitter, args))
  }
  return Object.assign(wrapped, { listener: once })
}

/** The once-wrapper of this version of Node: a bound function on Node 20 and 22, a closure on 24 and 26 (`_onceWrap` in
 *  lib/events.js). */
const NODES_ONCE = describe(new EventEmitter().once('sample', () => {}).rawListeners('sample')[0] as Listener)

function describe(listener: Listener): string {
  return `${listener.name} ${Function.prototype.toString.call(listener)}`
}

export function isNodesOnce(listener: unknown): listener is Wrapped {
  return (
    typeof (listener as Partial<Wrapped>).listener === 'function' &&
    describe(listener as Listener) === NODES_ONCE
  )
}

let undoRemoving: (() => void) | undefined

/**
 * Makes off() work for a function that itself has a `listener` property: the wrapper carries that property, so it is found by
 * `raw`. Few programs need it, so it is installed with the first such function.
 */
function wrapRemoving(): () => void {
  return replaceMethod(
    ['off', 'removeListener'],
    (original) =>
      function (this: EventEmitter, event: unknown, listener: unknown) {
        if (typeof (listener as Partial<Wrapped> | undefined)?.listener !== 'function')
          return original.call(this, event, listener)
        const registered = rawOf(this, event as string | symbol).findLast(
          (known) => (known as Partial<Wrapped>).raw === listener,
        )
        return original.call(this, event, registered ?? listener)
      },
  )
}

function wrapRawListeners(): () => void {
  return replaceMethod(
    ['rawListeners'],
    (original) =>
      function (this: EventEmitter, event: unknown) {
        const listeners = original.call(this, event) as Partial<Wrapped>[]
        return listeners.map((listener) => listener.raw ?? listener)
      },
  )
}

// Captured before it is replaced.
const { rawListeners, removeListener } = EventEmitter.prototype as unknown as Record<
  'rawListeners' | 'removeListener',
  Method
>

function rawOf(emitter: EventEmitter, event: string | symbol): Listener[] {
  return rawListeners.call(emitter, event) as Listener[]
}

function replaceMethod(names: readonly string[], make: (original: Method) => Method): () => void {
  const prototype = EventEmitter.prototype as unknown as Record<string, Method>
  const original = prototype[names[0] as string] as Method
  const replacement = make(original)
  Object.defineProperties(replacement, {
    name: { value: original.name, configurable: true },
    length: { value: original.length, configurable: true },
  })
  for (const name of names) prototype[name] = replacement
  return () => {
    for (const name of names) if (prototype[name] === replacement) prototype[name] = original
  }
}

function rememberForeign(
  scope: RunScope,
  emitter: EventEmitter,
  event: string | symbol,
  listener: Listener,
): void {
  if (isConnection(emitter)) return
  let list = (scope.foreignListeners ??= [])
  if (list.length >= scope.foreignListenersCheckAt) {
    list = scope.foreignListeners = list.filter(isAttached)
    scope.foreignListenersCheckAt = Math.max(FOREIGN_LISTENERS_MIN, 2 * list.length)
  }
  if (list.length >= FOREIGN_LISTENERS_MAX) return
  const name = emitter === (process as EventEmitter) ? 'process' : emitter.constructor?.name || 'EventEmitter'
  // Weakly: the emitter itself keeps the listener, and often dies long before the run ends.
  list.push({ emitter: new WeakRef(emitter), name, event, listener: new WeakRef(listener) })
}

/** Removes a recorded listener from its emitter, if both still live. */
export function removeForeign({ emitter, event, listener }: ForeignListener): void {
  const object = emitter.deref() as EventEmitter | undefined
  const registered = listener.deref()
  if (object === undefined || registered === undefined) return
  // Node lets any object be an emitter: `EventEmitter.prototype.on.call(object, ...)`.
  if (typeof object.removeListener === 'function') object.removeListener(event, registered)
  else removeListener.call(object, event, registered)
}

/**
 * A foreign socket is a connection that an agent or a pool passes from worker to worker. Its listeners belong to the protocol,
 * which removes them itself; without them an error of the connection would be charged to the worker that opened it.
 */
function isConnection(emitter: object): boolean {
  return typeof (emitter as { destroySoon?: unknown }).destroySoon === 'function' // net.Socket and its subclasses
}

/** Whether it is still registered on a live emitter. */
export function isAttached({ emitter, event, listener }: ForeignListener): boolean {
  const live = emitter.deref() as EventEmitter | undefined
  const registered = listener.deref()
  return live !== undefined && registered !== undefined && rawOf(live, event).includes(registered)
}

/** Stamps emitters with the scope that made them, and records those that hold a resource of the process. */
function stampEmitters(): () => void {
  const host = EventEmitter as unknown as { init: (this: object, options?: unknown) => void }
  const original = host.init
  host.init = function (this: object, options?: unknown) {
    original.call(this, options)
    const scope = currentScope()
    if (scope === undefined) return
    const { holds, rare } = classify(this)
    const owner = rare ? ownerOfRare(scope) : ownerHere(scope)
    const isChild = holds && guardSpawn(this)
    if (owner !== undefined) {
      stamp(this, owner)
      if (holds) noteHandle(owner, this, isChild ? closeChild(owner) : undefined)
    }
    if (holds) watchUse(this)
  }
  return () => {
    host.init = original
  }
}

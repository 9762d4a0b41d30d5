// Listeners a worker registers run as that worker, whoever emits: a throw is charged to the listener's worker and
// never travels into the emitter's. Node carries async context through timers and promises, not through emit().

import { EventEmitter } from 'node:events'
import { callAs, currentScope, noteEntry } from './run-scope.ts'
import type { ForeignListener, RunScope } from './run-scope.ts'

type Listener = (...args: unknown[]) => unknown
type Wrapped = Listener & { listener?: Listener }

const OWNER = Symbol('byre.owner')
/** Listeners on emitters of others that are remembered per run, to be named and removed when it ends. */
const FOREIGN_LISTENERS_MAX = 1000
const METHODS = ['on', 'addListener', 'prependListener'] as const

/** Installs the wrapping on EventEmitter.prototype; returns its undo. */
export function wrapEvents(): () => void {
  const prototype = EventEmitter.prototype as unknown as Record<string, Listener>
  const saved = new Map<string, Listener>()
  for (const method of METHODS) {
    const original = prototype[method] as Listener
    saved.set(method, original)
    prototype[method] = function (this: object, event: unknown, listener: unknown) {
      const scope = currentScope()
      if (scope === undefined || typeof listener !== 'function') return original.call(this, event, listener)
      const wrapped = wrapListener(scope, listener as Wrapped, String(event))
      rememberForeign(scope, this, event as string | symbol, wrapped)
      return original.call(this, event, wrapped)
    }
  }
  const undoInit = tagEmitters()
  return () => {
    for (const [method, original] of saved) prototype[method] = original
    undoInit()
  }
}

/** once() registers its own wrapper through on(); it is wrapped like any other, and `.listener` chains stay intact. */
function wrapListener(scope: RunScope, listener: Wrapped, event: string): Wrapped {
  const wrapped: Wrapped = function (this: unknown, ...args: unknown[]) {
    if (currentScope() === scope) {
      noteEntry(scope)
      return listener.apply(this, args)
    }
    return callAs(scope, `listener of '${event}'`, () => listener.apply(this, args))
  }
  // removeListener, listeners() and listenerCount() compare with `.listener`: the function the worker passed.
  wrapped.listener = listener.listener ?? listener
  return wrapped
}

function rememberForeign(scope: RunScope, emitter: object, event: string | symbol, listener: Wrapped): void {
  if ((emitter as { [OWNER]?: RunScope })[OWNER] === scope || isConnection(emitter)) return
  let list = (scope.foreignListeners ??= [])
  if (list.length >= FOREIGN_LISTENERS_MAX) list = scope.foreignListeners = list.filter(isAttached)
  if (list.length >= FOREIGN_LISTENERS_MAX) return
  const name = emitter === process ? 'process' : emitter.constructor?.name || 'EventEmitter'
  const reference = new WeakRef(emitter)
  list.push({
    emitter: reference,
    name,
    event,
    listener,
    remove: () => (reference.deref() as EventEmitter | undefined)?.removeListener(event, listener),
  })
}

/**
 * A socket of somebody else is a connection its agent or pool hands round: the listeners are those of the protocol, which
 * takes them off itself, and without them an error of the connection is nobody's and falls back on who opened it.
 */
function isConnection(emitter: object): boolean {
  return typeof (emitter as { destroySoon?: unknown }).destroySoon === 'function' // net.Socket, and what extends it
}

/** Still registered on a live emitter. */
export function isAttached(entry: ForeignListener): boolean {
  const emitter = entry.emitter.deref() as EventEmitter | undefined
  return emitter?.rawListeners(entry.event).includes(entry.listener as never) === true
}

/** Emitters remember the run that made them, so that a worker's listeners on its own sockets are not listed as foreign. */
function tagEmitters(): () => void {
  const host = EventEmitter as unknown as { init: (this: object, options?: unknown) => void }
  const original = host.init
  host.init = function (this: object, options?: unknown) {
    original.call(this, options)
    const scope = currentScope()
    // What a module makes while it loads outlives the run that loaded it.
    if (scope !== undefined && !scope.loading)
      Object.defineProperty(this, OWNER, { value: scope, enumerable: false, configurable: true })
  }
  return () => {
    host.init = original
  }
}

interface Listening {
  readonly listening: boolean
  address(): unknown
  close(): void
}

/** Names and closes the servers a run made and left listening: its next run wants the port. */
export function closeLeakedServers(scope: RunScope): string[] {
  // Undocumented, but the only register of open handles; present and the same from Node 20 to 26.
  const handles = (process as unknown as { _getActiveHandles?: () => object[] })._getActiveHandles?.() ?? []
  const names: string[] = []
  for (const handle of handles as (Partial<Listening> & { [OWNER]?: RunScope })[]) {
    if (handle[OWNER] !== scope || handle.listening !== true || typeof handle.close !== 'function') continue
    names.push(`${handle.constructor.name} on ${JSON.stringify(handle.address?.())}`)
    handle.close()
  }
  return names
}

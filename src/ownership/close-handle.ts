// Closes servers, sockets, requests, threads and watchers of code that must not continue.

import { EventEmitter } from 'node:events'
import type { Closed } from './run-scope.ts'

/** Properties of Node's handles that distinguish them and show whether they are open. */
interface Handle {
  readonly _handle?: object | null
  readonly fd?: unknown
  readonly threadId?: number
  readonly listening?: boolean
  readonly destroyed?: boolean
  readonly connecting?: boolean
  readonly remoteAddress?: string
  readonly remotePort?: number
  /** Of a request. */
  readonly host?: string
  /** Of a watcher of chokidar. */
  readonly _closers?: unknown
  readonly closed?: boolean
}
type Ends = Record<string, unknown> & Handle

/** The methods with which Node ends a handle, the most thorough first. */
const ENDS = ['destroy', 'terminate', 'close', 'stop'] as const

/**
 * Closes `emitter` if it is an open handle of Node, and returns its name. Connections in the pool of an HTTP client are left
 * open: other workers send their requests over them. `late`: the code that made the handle must not set up anything more, so
 * its listeners are removed first; otherwise they could react to the end and start again.
 */
export function closeHandle(emitter: object, late: boolean): Closed | undefined {
  const handle = emitter as Ends
  if (!isOpen(handle) || isStandardStream(handle) || isPooled(handle)) return undefined
  const closed = { kind: handle.listening === true ? 'servers' : 'handles', name: nameOf(handle) } as const
  if (late) silence(handle)
  else if (isRequest(handle)) ignoreErrors(handle)
  for (const end of ENDS) {
    const method = handle[end]
    if (typeof method !== 'function') continue
    const result: unknown = method.call(handle)
    if (result instanceof Promise) result.catch(() => {}) // the promise of terminate() or close(); nobody waits for it
    break
  }
  return closed
}

function isOpen(handle: Ends): boolean {
  if (isSocket(handle)) return handle.destroyed !== true && (handle.connecting === true || isHeld(handle))
  if (isDatagramSocket(handle)) return isBound(handle)
  if (isRequest(handle)) return handle.destroyed !== true
  if (isAgent(handle)) return isOwnAgent(handle)
  if (isChokidar(handle)) return handle.closed !== true
  if (typeof handle['terminate'] === 'function') return Number(handle.threadId) > 0
  return Object.hasOwn(handle, '_handle') && isHeld(handle)
}

function isHeld({ _handle }: Handle): boolean {
  return typeof _handle === 'object' && _handle !== null
}

/** net.Socket and its subclasses. */
function isSocket(handle: Ends): boolean {
  return typeof handle['destroySoon'] === 'function'
}

/** Does not read `_handle`: it is deprecated and prints a warning. */
function isDatagramSocket(handle: Ends): boolean {
  return typeof handle['setMulticastTTL'] === 'function'
}

/** http.ClientRequest. */
function isRequest(handle: Ends): boolean {
  return typeof handle['onSocket'] === 'function'
}

/** http.Agent. */
function isAgent(handle: Ends): boolean {
  return typeof handle['reuseSocket'] === 'function'
}

/** Not one of the global agents: node:http makes them when it is loaded, in whatever run that is. */
function isOwnAgent(handle: Ends): boolean {
  const globals = ['node:http', 'node:https'].map(
    (name) => (process.getBuiltinModule(name) as { globalAgent?: object }).globalAgent,
  )
  const sockets = [handle['sockets'], handle['freeSockets']].map((each) => Object.keys(each ?? {}).length)
  return !globals.includes(handle) && sockets.some((count) => count > 0)
}

/** chokidar keeps one fs.watch() for each path in a module variable: only its own close() takes it out of there. */
function isChokidar(handle: Ends): boolean {
  return handle._closers instanceof Map && typeof handle['getWatched'] === 'function'
}

function isBound(handle: Ends): boolean {
  try {
    return (handle['address'] as () => unknown)() !== undefined
  } catch {
    return false // not bound, or closed
  }
}

/** Created at first use, by any worker, and shared by all. */
function isStandardStream({ fd }: Handle): boolean {
  return fd === 0 || fd === 1 || fd === 2
}

/** In the pool of an agent of node:http or node:https, or of undici (fetch). */
function isPooled(handle: Ends): boolean {
  const emitter = handle as unknown as EventEmitter
  if (emitter.listenerCount('agentRemove') > 0) return true
  return Object.getOwnPropertySymbols(emitter).some(({ description }) => description === 'client')
}

function nameOf(handle: Ends): string {
  const type = handle.constructor?.name
  if (handle.listening === true) return `${type} on ${JSON.stringify((handle['address'] as () => unknown)())}`
  if (handle.remoteAddress !== undefined) return `${type} to ${handle.remoteAddress}:${handle.remotePort}`
  if (isRequest(handle)) return `${type} to ${handle.host}`
  return String(type)
}

/** A request that is destroyed emits an error, which nobody of the ended run may listen for. */
function ignoreErrors(handle: Ends): void {
  EventEmitter.prototype.on.call(handle as unknown as EventEmitter, 'error', () => {})
}

/** Removes the listeners of an emitter whose end its code must not react to. */
export function silence(emitter: object): void {
  EventEmitter.prototype.removeAllListeners.call(emitter as EventEmitter)
  EventEmitter.prototype.on.call(emitter as EventEmitter, 'error', () => {})
}

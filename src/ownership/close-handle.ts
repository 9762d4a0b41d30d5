// Closes servers, sockets, child processes, threads and watchers of code that must not go on.

import { EventEmitter } from 'node:events'
import { describeThrown } from '../base/errors.ts'
import type { Closed } from './set-up.ts'

/** What those of Node have, as far as it tells them apart and says whether they are open. */
interface Handle {
  readonly _handle?: object | null
  readonly fd?: unknown
  readonly pid?: number
  readonly threadId?: number
  readonly listening?: boolean
  readonly destroyed?: boolean
  readonly connecting?: boolean
  readonly remoteAddress?: string
  readonly remotePort?: number
}
type Ends = Record<string, unknown> & Handle

/** Node's own ways to end one, the most thorough first. */
const ENDS = ['destroy', 'terminate', 'close', 'stop', 'kill'] as const

/**
 * Closes what `emitter` holds open, if it is one of Node's handles, and names it. Connections that an HTTP client pools are
 * left to it: other workers send their requests over them. `late`: made by code that is to make nothing more, so it hears
 * nothing of the end, or it would begin again.
 */
export function closeHandle(emitter: object, late: boolean): Closed | undefined {
  const handle = emitter as Ends
  try {
    if (!isOpen(handle) || isStandardStream(handle) || isPooled(handle)) return undefined
    const closed = { kind: handle.listening === true ? 'servers' : 'handles', name: nameOf(handle) } as const
    if (late) silence(handle)
    for (const end of ENDS) {
      const method = handle[end]
      if (typeof method !== 'function') continue
      method.call(handle)
      break
    }
    return closed
  } catch (error) {
    const { message } = describeThrown(error)
    return { kind: 'handles', name: `${emitter.constructor?.name} (not closed: ${message})` }
  }
}

function isOpen(handle: Ends): boolean {
  if (isSocket(handle)) return handle.destroyed !== true && (handle.connecting === true || isHeld(handle))
  if (isDatagramSocket(handle)) return isBound(handle)
  if (typeof handle['terminate'] === 'function') return Number(handle.threadId) > 0
  return Object.hasOwn(handle, '_handle') && isHeld(handle)
}

function isHeld({ _handle }: Handle): boolean {
  return typeof _handle === 'object' && _handle !== null
}

/** net.Socket, and what extends it. */
function isSocket(handle: Ends): boolean {
  return typeof handle['destroySoon'] === 'function'
}

/** Its `_handle` is deprecated and warns. */
function isDatagramSocket(handle: Ends): boolean {
  return typeof handle['setMulticastTTL'] === 'function'
}

function isBound(handle: Ends): boolean {
  try {
    return (handle['address'] as () => unknown)() !== undefined
  } catch {
    return false // not bound, or closed
  }
}

/** Made at its first use, by whichever worker that is, and everybody's. */
function isStandardStream({ fd }: Handle): boolean {
  return fd === 0 || fd === 1 || fd === 2
}

/** Of an agent of node:http and node:https, or of undici, which is fetch. */
function isPooled(handle: Ends): boolean {
  const emitter = handle as unknown as EventEmitter
  if (emitter.listenerCount('agentRemove') > 0) return true
  return Object.getOwnPropertySymbols(emitter).some(({ description }) => description === 'client')
}

function nameOf(handle: Ends): string {
  const type = handle.constructor?.name
  if (handle.listening === true) return `${type} on ${JSON.stringify((handle['address'] as () => unknown)())}`
  if (handle.remoteAddress !== undefined) return `${type} to ${handle.remoteAddress}:${handle.remotePort}`
  return typeof handle.pid === 'number' ? `${type} ${handle.pid}` : type
}

function silence(handle: Ends): void {
  const emitter = handle as unknown as EventEmitter
  EventEmitter.prototype.removeAllListeners.call(emitter)
  EventEmitter.prototype.on.call(emitter, 'error', () => {})
}

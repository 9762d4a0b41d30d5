// Requests of fetch() and of undici have no object that the program could close. undici announces each one on a diagnostics
// channel, with a method that aborts it (the same from Node 20 to 26, and in the package since 6).

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { ownerHere } from './evaluation.ts'
import { noteHandle } from './handles.ts'
import { currentScope } from './run-scope.ts'
import type { Closed } from './run-scope.ts'

const CHANNEL = 'undici:request:create'

interface Request {
  readonly origin?: string | URL
  readonly completed?: boolean
  /** Set before the request has a connection, it removes the request from the queue of the client. */
  aborted?: boolean
  /** Null until the request has a connection. */
  readonly abort?: ((reason: Error) => void) | null
}

/** Requests end with the run that has sent them; the connection stays for others. Returns the undo. */
export function watchUndiciRequests(): () => void {
  const onRequest = (message: unknown): void => {
    const { request } = message as { readonly request: Request }
    const scope = currentScope()
    const owner = scope === undefined ? undefined : ownerHere(scope)
    if (owner !== undefined) noteHandle(owner, request, abort)
  }
  subscribe(CHANNEL, onRequest)
  return () => void unsubscribe(CHANNEL, onRequest)
}

function abort(handle: object): Closed | undefined {
  const request = handle as Request
  if (request.completed === true || request.aborted === true) return undefined
  if (typeof request.abort === 'function') request.abort(runHasEnded())
  else request.aborted = true
  return { kind: 'handles', name: `fetch to ${String(request.origin)}` }
}

/** Without frames: with those of byre it would count as an error of byre, wherever it surfaces. */
function runHasEnded(): Error {
  const error = new Error('The run that sent the request has ended')
  error.stack = `Error: ${error.message}`
  return error
}

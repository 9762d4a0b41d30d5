// Notes a long turn of the loop in the breadcrumb: the watching thread asks the blocked loop through the inspector in which
// worker's async context it runs. A separate file because the thread loads it with the first such turn.
//
// Runtime.evaluate is enough: V8 runs it in an interrupt of the JavaScript that blocks the loop, within 1 ms (11 ms for the
// first one on Node 20). Native code cannot be interrupted: the answer comes when it returns, which is too late.

import { closeSync, openSync } from 'node:fs'
import { Session } from 'node:inspector'
import type { Runtime } from 'node:inspector'
import { writeCrumb } from '../../herd/breadcrumb.ts'
import { CONTEXT_KEY } from './protocol.ts'

export interface LongTurn {
  readonly breadcrumb: { readonly path: string; readonly startedAt: number }
  /** Milliseconds since the epoch by which the turn had begun. */
  readonly at: number
  /** Whether the turn has ended or its note is no longer needed. */
  readonly over: () => boolean
  /** The loop has been asked to pause. On Node 20.20 a loop that pauses inside a question, while another message waits,
   *  may spin for ever in the inspector (WaitForFrontendEvent), so no question is sent any more. */
  readonly pausing: () => boolean
}

/** The worker in whose context the main thread runs, once it runs JavaScript; undefined outside every worker's context, or
 *  when the inspector refuses. Opens a session, which is closed before the promise resolves. */
async function askContext(): Promise<string | undefined> {
  const session = new Session()
  try {
    session.connectToMainThread()
    return await new Promise((resolve) =>
      session.post('Runtime.evaluate', CONTEXT_QUERY, (error, reply?: Runtime.EvaluateReturnType) => {
        const value: unknown = error === null ? reply?.result.value : undefined
        // Not inside the callback: disconnecting there can hang.
        setImmediate(() => resolve(typeof value === 'string' ? value : undefined))
      }),
    )
  } catch {
    return undefined // this build has no inspector, or another session uses it
  } finally {
    session.disconnect()
  }
}

/** Evaluated in the supervisor's loop; returns the worker in whose context it runs. */
export const CONTEXT_QUERY: Runtime.EvaluateParameterType = {
  expression: `globalThis[Symbol.for(${JSON.stringify(CONTEXT_KEY)})]?.()`,
  returnByValue: true,
  silent: true,
}

/** A turn that was outside every worker's code may enter a worker's code later. */
const RETRY_MS = 20

/** Resolves to true once the note is written, to false when the turn ends before. Throws what opening or writing the file
 *  throws. */
export async function noteLongTurn({ breadcrumb, at, over, pausing }: LongTurn): Promise<boolean> {
  let worker: string | undefined
  while (worker === undefined) {
    if (over() || pausing()) return false
    worker = await askContext()
    if (worker === undefined) await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
  if (over()) return false
  const { path, startedAt } = breadcrumb
  const fd = openSync(path, 'r+')
  try {
    writeCrumb(fd, { v: 1, pid: process.pid, startedAt, state: 'in', worker, at, watched: true })
  } finally {
    closeSync(fd)
  }
  return true
}

// A turn of the loop that lasts: the watching thread asks the held loop, through the inspector, for the worker in whose
// async context it runs, and writes that into the breadcrumb. Loaded with the first such turn.
//
// Runtime.evaluate is enough: V8 runs it in an interrupt of the JavaScript that holds the loop, within 1 ms (11 ms for the
// first one on Node 20). Native code cannot be interrupted: it answers when it has returned, which is too late.

import { closeSync, openSync } from 'node:fs'
import { Session } from 'node:inspector'
import type { Runtime } from 'node:inspector'
import { writeCrumb } from '../../herd/breadcrumb.ts'
import { CONTEXT_KEY } from './protocol.ts'

export interface LongTurn {
  readonly breadcrumb: { readonly path: string; readonly startedAt: number }
  /** Milliseconds since the epoch: the turn had begun by then. */
  readonly at: number
  /** The turn has ended, or its note is not wanted any more. */
  readonly over: () => boolean
}

/** The worker in whose context the main thread is, once it is in JavaScript; undefined outside every worker, or when the
 *  inspector refuses. Opens a session, which is closed before it resolves. */
async function askContext(): Promise<string | undefined> {
  const session = new Session()
  try {
    session.connectToMainThread()
    return await new Promise((resolve) =>
      session.post('Runtime.evaluate', QUESTION, (error, reply?: Runtime.EvaluateReturnType) => {
        const value: unknown = error === null ? reply?.result.value : undefined
        // Not inside the callback: disconnecting there can hang.
        setImmediate(() => resolve(typeof value === 'string' ? value : undefined))
      }),
    )
  } catch {
    return undefined // no inspector in this build, or another session holds it
  } finally {
    session.disconnect()
  }
}

/** Names the worker whose context is asked for, in the supervisor's loop. */
export const QUESTION: Runtime.EvaluateParameterType = {
  expression: `globalThis[Symbol.for(${JSON.stringify(CONTEXT_KEY)})]?.()`,
  returnByValue: true,
  silent: true,
}

/** A turn that was in no worker's code may enter one later. */
const AGAIN_MS = 20

/** Resolves to true once the note is written, to false when the turn is over before. Throws what opening or writing the
 *  file throws. */
export async function noteLongTurn({ breadcrumb, at, over }: LongTurn): Promise<boolean> {
  let worker = await askContext()
  while (worker === undefined && !over()) {
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
    worker = await askContext()
  }
  if (worker === undefined || over()) return false
  const { path, startedAt } = breadcrumb
  const fd = openSync(path, 'r+')
  try {
    writeCrumb(fd, { v: 1, pid: process.pid, startedAt, state: 'in', worker, at, watched: true })
  } finally {
    closeSync(fd)
  }
  return true
}

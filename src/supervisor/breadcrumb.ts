// A crash-safe note of whose code the loop is in, so that the next start can name who took the process down (law 1).
// One small file, overwritten in place with pwrite: the page cache keeps it when the process dies by any means.
//
// Cost: one pwrite of 256 bytes when the loop enters another worker's code, one when it has left all of them.

import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { isRecord } from '../base/check.ts'
import { currentScope } from './attribution/run-scope.ts'
import type { EntryWatch, RunScope } from './attribution/run-scope.ts'

const RECORD_BYTES = 512

/** What the loop was doing when the note was last written. */
export type CrumbState =
  | 'idle' // in nobody's code
  | 'in' // in a worker's code
  | 'abort' // a worker called process.abort
  | 'clean' // the process ended as it should
  | 'fatal' // byre saw the end coming and knows whose it is

export interface Crumb {
  readonly v: 1
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly state: CrumbState
  readonly worker?: string
  /** When the state was entered. */
  readonly at: number
}

export interface Breadcrumb extends EntryWatch {
  /** Synchronous; for last words. */
  mark(state: CrumbState, worker?: string): void
  close(): void
}

/** Opens (and creates, with its folder 0700) the file and marks it idle. `startedAt` in ms since the epoch. */
export function openBreadcrumb(path: string, startedAt: number): Breadcrumb {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  let fd: number | undefined = openSync(path, 'w', 0o600)
  const record = Buffer.alloc(RECORD_BYTES, 0x20)
  let current: string | undefined
  let leaving = false
  const mark = (state: CrumbState, worker?: string): void => {
    if (fd === undefined) return
    const crumb: Crumb = {
      v: 1,
      pid: process.pid,
      startedAt,
      state,
      ...(worker === undefined ? {} : { worker }),
      at: Date.now(),
    }
    record.fill(0x20)
    record.write(`${JSON.stringify(crumb)}\n`)
    writeSync(fd, record, 0, RECORD_BYTES, 0)
  }
  const left = (): void => {
    leaving = false
    if (current === undefined) return
    current = undefined
    mark('idle')
  }
  mark('idle')
  return {
    entered(scope: RunScope) {
      if (scope.worker === current) return
      current = scope.worker
      mark('in', scope.worker)
      if (leaving) return
      leaving = true
      hostSetImmediate(left)
    },
    mark(state, worker) {
      current = worker
      mark(state, worker)
    },
    close() {
      if (fd === undefined) return
      mark('clean')
      closeSync(fd)
      fd = undefined
    },
  }
}

// An immediate runs once the loop has come out of the callback that entered the worker.
const hostSetImmediate = globalThis.setImmediate

/** The note of the last process, or undefined when there is none that can be read. */
export function readBreadcrumb(path: string): Crumb | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return isRecord(parsed) && parsed['v'] === 1 && typeof parsed['state'] === 'string'
      ? (parsed as unknown as Crumb)
      : undefined
  } catch {
    return undefined // absent on a first start; torn or foreign content proves nothing
  }
}

/** The run whose code is executing now, for a mark. */
export function culpritNow(): string | undefined {
  return currentScope()?.worker
}

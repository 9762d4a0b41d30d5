// A crash-safe note of whose code the loop is in, so that the next start can name who took the process down (law 1).
// One small file, overwritten in place with pwrite: the page cache keeps it when the process dies by any means.
//
// Cost: one pwrite of 512 bytes (1.2 us) when the loop enters another worker's code, one when it has come out of it. What
// runs after an `await` is part of the turn that resolved it: a worker that loops after waiting for another one's
// callback is not seen, the other is.

import { parse, stringify } from '../base/json.ts'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { isRecord } from '../base/check.ts'
import { describeThrown } from '../base/errors.ts'
import { ensureFolder } from '../base/places.ts'
import type { Logger } from '../log/logger.ts'
import { runInScope } from './attribution/run-scope.ts'
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
  /** A thread looked for stalls then: a loop held for long would have left a note of its own. */
  readonly watched?: true
}

export interface Breadcrumb extends EntryWatch {
  /** Synchronous; for last words. */
  mark(state: CrumbState, worker?: string): void
  /** Whether stalls are looked for from here on. */
  watched(on: boolean): void
  close(): void
}

/** While a module loads the note is renewed this often, so that its age tells a held loop from a kill. */
const RENEW_MS = 250

/**
 * Opens (and creates, with its folder 0700) the file and marks it idle. `startedAt` in ms since the epoch. A write that
 * fails ends the notes and is told once: a full disk must not harm the workers.
 */
export function openBreadcrumb(
  path: string,
  startedAt: number,
  onError: (error: unknown) => void = () => {},
): Breadcrumb {
  ensureFolder(dirname(path))
  let fd: number | undefined = openSync(path, 'w', 0o600)
  const record = Buffer.alloc(RECORD_BYTES, 0x20)
  const loading = new Set<RunScope>()
  let current: string | undefined
  let leaving = false
  let watched = false
  let renewal: NodeJS.Timeout | undefined
  let latest: Omit<Crumb, 'watched'> | undefined

  const mark = (state: CrumbState, worker?: string): void => {
    const known = worker === undefined ? {} : { worker }
    latest = { v: 1, pid: process.pid, startedAt, state, ...known, at: host.now() }
    write(latest)
  }
  const write = (crumb: Crumb): void => {
    if (fd === undefined) return
    record.fill(0x20)
    record.write(`${stringify(watched ? { ...crumb, watched } : crumb)}\n`)
    try {
      writeSync(fd, record, 0, RECORD_BYTES, 0)
    } catch (error) {
      fd = undefined
      onError(error)
    }
  }
  /** Nobody's code runs, but that of a module being loaded may at any time. */
  const rest = (): void => {
    current = undefined
    const [first] = loading
    if (first === undefined) mark('idle')
    else mark('in', first.worker)
  }
  const left = (): void => {
    leaving = false
    if (current !== undefined) rest()
  }
  // After every microtask of this turn: what a worker does after an await is part of the turn it was entered in.
  const afterTurn = (): void => host.nextTick(left)

  mark('idle')
  return {
    entered(scope) {
      if (scope.worker === current) return
      current = scope.worker
      mark('in', scope.worker)
      if (leaving) return
      leaving = true
      host.queueMicrotask(afterTurn)
    },
    loading(scope) {
      loading.add(scope)
      renewal ??= runInScope(undefined, () =>
        host.setInterval(() => current === undefined && rest(), RENEW_MS),
      )
      return {
        done() {
          if (!loading.delete(scope) || loading.size > 0) return
          clearInterval(renewal)
          renewal = undefined
          if (current === undefined) rest()
        },
      }
    },
    mark(state, worker) {
      current = worker
      mark(state, worker)
    },
    watched(on) {
      if (on === watched) return
      watched = on
      if (latest !== undefined) write(latest) // last words stay as they are
    },
    close() {
      clearInterval(renewal)
      if (fd === undefined) return
      mark('clean')
      closeSync(fd)
      fd = undefined
    },
  }
}

/** What a herd says when its notes have ended. */
export function tellBreadcrumbFailed(log: Logger): (error: unknown) => void {
  return (error) =>
    log.error(
      { event: 'breadcrumb-failed', ...describeThrown(error) },
      'cannot note whose code runs: after a crash nobody will be named',
    )
}

// Taken before they are wrapped for workers.
const host = {
  now: Date.now,
  queueMicrotask: globalThis.queueMicrotask,
  nextTick: process.nextTick.bind(process),
  setInterval: globalThis.setInterval,
}

/** The note of the last process, or undefined when there is none that can be read. */
export function readBreadcrumb(path: string): Crumb | undefined {
  try {
    const parsed: unknown = parse(readFileSync(path, 'utf8'))
    return isRecord(parsed) && parsed['v'] === 1 && typeof parsed['state'] === 'string'
      ? (parsed as unknown as Crumb)
      : undefined
  } catch {
    return undefined // absent on a first start; torn or foreign content proves nothing
  }
}

// A crash-safe note of whose code the loop is in, so that the next start can name the worker that took the process down
// (law 1). One small file, overwritten in place with pwrite: the page cache keeps it when the process dies by any means.
//
// The loop itself writes while a module loads, and its last words. A turn that lasts is noted by the watching thread
// (stall/long-turn.ts), which asks the held loop for its worker. Once native code of an addon may crash at any moment,
// every entry into another worker's code is written: 512 bytes, 1.2 us.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { isRecord } from '../base/check.ts'
import { describeThrown } from '../base/errors.ts'
import { parse, stringify } from '../base/json.ts'
import { ensureFolder } from '../base/places.ts'
import type { Logger } from '../log/logger.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { EntryWatch, RunScope } from '../ownership/run-scope.ts'

const RECORD_BYTES = 512

/** What the loop was doing when the note was last written. */
export type CrumbState =
  | 'idle' // in no worker's code, as far as it is known
  | 'in' // in a worker's code
  | 'abort' // a worker called process.abort
  | 'clean' // the process ended as it should
  | 'fatal' // byre saw the end coming and knows the worker

export interface Crumb {
  readonly v: 1
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly state: CrumbState
  readonly worker?: string
  /** When the state was entered. */
  readonly at: number
  /** A thread watched for stalls then: a loop held for long would have left a note of its own. */
  readonly watched?: true
}

export interface Breadcrumb extends EntryWatch {
  readonly path: string
  readonly startedAt: number
  /** Synchronous; for last words. */
  mark(state: CrumbState, worker?: string): void
  /** From here on each entry into another worker's code is written. */
  writeEntries(): void
  /** Writes its own latest state again: the turn that another thread had noted is over. */
  restore(): void
  /** Whether a thread watches for stalls from here on. */
  watched(on: boolean): void
  /** `listener` is called before the last note is written. */
  beforeClose(listener: () => void): void
  close(): void
}

/** While a module loads the note is renewed this often, so that its age tells a held loop from a kill. */
const RENEW_MS = 250

/** Writes `crumb` over the whole record of the file open at `fd`. Throws what writeSync throws. */
export function writeCrumb(fd: number, crumb: Crumb): void {
  const record = Buffer.alloc(RECORD_BYTES, 0x20)
  record.write(`${stringify(crumb)}\n`)
  writeSync(fd, record, 0, RECORD_BYTES, 0)
}

/**
 * Opens (and creates, with its folder 0700) the file and marks it idle. `startedAt` in ms since the epoch. A write that
 * fails ends the notes and is reported once: a full disk must not harm the workers.
 */
export function openBreadcrumb(
  path: string,
  startedAt: number,
  onError: (error: unknown) => void = () => {},
): Breadcrumb {
  ensureFolder(dirname(path))
  let fd: number | undefined = openSync(path, 'w', 0o600)
  const loading = new Set<RunScope>()
  let current: string | undefined
  let everyEntry = false
  let leaving = false
  let watched = false
  let renewal: NodeJS.Timeout | undefined
  let closing = (): void => {}
  let latest: Omit<Crumb, 'watched'> | undefined

  const mark = (state: CrumbState, worker?: string): void => {
    const known = worker === undefined ? {} : { worker }
    latest = { v: 1, pid: process.pid, startedAt, state, ...known, at: host.now() }
    write()
  }
  const write = (): void => {
    if (fd === undefined || latest === undefined) return
    try {
      writeCrumb(fd, watched ? { ...latest, watched } : latest)
    } catch (error) {
      fd = undefined
      onError(error)
    }
  }
  /** No worker's code runs, but that of a module being loaded may at any time. */
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
    path,
    startedAt,
    entered(scope) {
      if (!everyEntry || scope.worker === current) return
      current = scope.worker
      mark('in', scope.worker)
      if (leaving) return
      leaving = true
      // Outside the worker's context: it would be noted as one more entry into its code.
      runInScope(undefined, () => host.queueMicrotask(afterTurn))
    },
    loading(scope) {
      loading.add(scope)
      if (current === undefined) rest()
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
    writeEntries() {
      everyEntry = true
    },
    restore: write,
    watched(on) {
      if (on === watched) return
      watched = on
      write() // last words stay as they are
    },
    beforeClose(listener) {
      closing = listener
    },
    close() {
      clearInterval(renewal)
      closing()
      if (fd === undefined) return
      mark('clean')
      closeSync(fd)
      fd = undefined
    },
  }
}

/** Reports that no more notes are written. */
export function reportBreadcrumbFailed(log: Logger): (error: unknown) => void {
  return (error) =>
    log.error(
      { event: 'breadcrumb-failed', ...describeThrown(error) },
      'cannot write the breadcrumb file: after a crash no worker will be named',
    )
}

// Taken before a worker can replace them.
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

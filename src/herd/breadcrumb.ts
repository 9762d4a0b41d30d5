// The breadcrumb: a crash-safe record of the worker whose code the loop executes, from which the next start names the worker
// that ended the process (law 1). One small file, overwritten in place with pwrite(2): the page cache survives every death
// of the process.
//
// The loop writes it while a module loads and when it knows its end. A long turn is recorded by the stall thread
// (watch/stall/long-turn.ts), which asks the blocked loop for its worker. Once a native addon is loaded, which may crash at
// any moment, each entry into the code of another worker is written: 512 bytes, 1.2 us.

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

/** The activity of the loop when the record was written. */
export type CrumbState =
  | 'idle' // in no worker's code, as far as is known
  | 'in' // in a worker's code
  | 'clean' // the process ended normally

export interface Crumb {
  readonly v: 1
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly state: CrumbState
  readonly worker?: string
  /** When the state was entered. */
  readonly at: number
  /** The stall thread was running: a loop that was blocked for long would have left a stall note. */
  readonly watched?: true
}

export interface Breadcrumb extends EntryWatch {
  readonly path: string
  readonly startedAt: number
  /** From here on each entry into another worker's code is written. */
  writeEntries(): void
  /** Writes the latest state again: the turn that the stall thread recorded is over. */
  restore(): void
  /** Whether the stall thread runs from here on. */
  watched(on: boolean): void
  /** `listener` is called before the last record is written. */
  beforeClose(listener: () => void): void
  close(): void
}

/** While a module loads the record is rewritten this often: its age then distinguishes a blocked loop from a kill. */
const RENEW_MS = 250

/** Writes `crumb` over the whole record of the file open at `fd`. Throws what writeSync throws. */
export function writeCrumb(fd: number, crumb: Crumb): void {
  const record = Buffer.alloc(RECORD_BYTES, 0x20)
  record.write(`${stringify(crumb)}\n`)
  writeSync(fd, record, 0, RECORD_BYTES, 0)
}

/**
 * Opens (and creates, with its folder 0700) the file and marks it idle. `startedAt` in ms since the epoch. A write that
 * fails ends the recording and is reported once: a full disk must not affect the workers.
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
  /** No worker's code runs, but a module that is being loaded may run at any time. */
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
  // After all microtasks of this turn: they still belong to the worker that was entered.
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
      // Outside the worker's context: in it, this would count as another entry into its code.
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
    writeEntries() {
      everyEntry = true
    },
    restore: write,
    watched(on) {
      if (on === watched) return
      watched = on
      write() // the state itself is unchanged
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

/** Reports once that recording has ended. */
export function reportBreadcrumbFailed(log: Logger): (error: unknown) => void {
  return (error) =>
    log.error(
      { event: 'breadcrumb-failed', ...describeThrown(error) },
      'the breadcrumb file cannot be written: after a crash no worker will be named',
    )
}

// Captured before a worker can replace them.
const host = {
  now: Date.now,
  queueMicrotask: globalThis.queueMicrotask,
  nextTick: process.nextTick.bind(process),
  setInterval: globalThis.setInterval,
}

/** The record of the last process; undefined when there is none or it is unreadable. */
export function readBreadcrumb(path: string): Crumb | undefined {
  try {
    const parsed: unknown = parse(readFileSync(path, 'utf8'))
    return isRecord(parsed) && parsed['v'] === 1 && typeof parsed['state'] === 'string'
      ? (parsed as unknown as Crumb)
      : undefined
  } catch {
    return undefined // absent on a first start; a torn or foreign file proves nothing
  }
}

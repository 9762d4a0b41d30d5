// The /proc and V8 figures of one run of one worker in a thread or process. They belong to the run: the next run begins without
// any, and a figure that can no longer be read is absent, with the reason, instead of keeping its last value.
//
// The CPU time of a process includes the threads it has ended, so it comes from clock ticks; that of a thread comes from the
// scheduler in nanoseconds where the kernel counts it.

import type { ProcFailure, ProcReason, ProcResult } from '../../procfs/read.ts'
import { PROC_ROOT, readProc } from '../../procfs/read.ts'
import { readAuxv } from '../../procfs/auxv.ts'
import { readTaskSchedstat } from '../../procfs/schedstat.ts'
import { readSmapsRollup } from '../../procfs/smaps-rollup.ts'
import { parseStat, readStat } from '../../procfs/stat.ts'
import type { ProcStat } from '../../procfs/stat.ts'
import { readStatm } from '../../procfs/statm.ts'
import type { HeapFigures, WorkerSample } from '../../herd/status.ts'

/** The thread or process to sample. */
export interface Watched {
  readonly worker: string
  readonly kind: 'thread' | 'process'
  readonly pid: number
  /** The kernel's id of the thread; undefined for a script, which does not report it. */
  readonly tid?: number
  /** Time of launch, monotonic ms; the CPU time was 0 then. */
  readonly launchedAt: number
  /** Requests the figures of its V8 heap; the answer arrives through `heap`. Absent for a script without `inside: true`. */
  readonly requestHeap?: () => void
}

/** `gone`: there will be no further samples. Any other reason: this reading failed. */
export type Outcome = 'taken' | 'gone' | ProcReason

interface Moment {
  readonly at: number
  readonly monotonic: number
}
interface Taken {
  readonly moment: Moment
  readonly reading: Reading
  /** CPU time since the previous reading, per wall-clock time. */
  readonly ratio: number
  readonly windowMs: number
}
/** Its heap as reported by the child. */
interface HeapReport {
  readonly moment: Moment
  readonly figures: HeapFigures
}
interface Smaps {
  readonly moment: Moment
  readonly pssBytes: number
  readonly anonBytes: number
}

const NO_THREAD_MEMORY = 'the kernel keeps no memory per thread; see heap, which is V8'
const NO_TID = 'its kernel thread is not known: a script does not report it'
const GONE = 'its process is gone'
/** Samples per PSS reading: it walks every page table. */
const PSS_EVERY = 4
/** A heap report older than this many intervals is no longer shown. */
const HEAP_INTERVALS = 3

export class Target {
  readonly watched: Watched
  readonly #units: KernelUnits
  readonly #root: string
  #startTicks: number | undefined
  #taken: Taken | undefined
  /** Kept when a reading fails, as evidence; never shown as a current figure. */
  #last: Taken | undefined
  #smaps: Smaps | undefined
  #smapsReason: string | undefined
  #heap: HeapReport | undefined
  #failed: string | undefined
  #requested = false
  #count = 0

  constructor(watched: Watched, units: KernelUnits, root: string = PROC_ROOT) {
    this.watched = watched
    this.#units = units
    this.#root = root
  }

  /** Takes a sample now. */
  take(moment: Moment): Outcome {
    // One request at a time: they would queue up for a starved loop.
    if (!this.#requested) this.watched.requestHeap?.()
    this.#requested = true
    const result = this.#read()
    if (result === undefined) return 'taken'
    if (!result.ok) return this.#lost(result.reason)
    const reading = result.value
    this.#startTicks ??= reading.startTicks
    if (this.#startTicks !== reading.startTicks) return this.#lost('gone') // another process has its pid now
    const { launchedAt } = this.watched
    const before = this.#taken ?? { moment: { monotonic: launchedAt }, reading: { cpuMs: 0 } }
    const windowMs = Math.max(moment.monotonic - before.moment.monotonic, 1)
    const ratio = Math.max(0, reading.cpuMs - before.reading.cpuMs) / windowMs
    this.#taken = this.#last = { moment, reading, ratio, windowMs }
    this.#failed = undefined
    if (this.watched.kind === 'process' && this.#count++ % PSS_EVERY === 0) this.#takePss(moment)
    return 'taken'
  }

  /** The child's answer to `requestHeap`. */
  heap(figures: HeapFigures, moment: Moment): void {
    this.#requested = false
    this.#heap = { moment, figures }
  }

  /** The current figures. `intervalMs` determines which are too old. */
  sample(now: Moment, intervalMs: number): WorkerSample {
    const unavailable: Record<string, string> = {}
    const taken = this.#failed === undefined ? this.#taken : undefined
    const why = this.#failed ?? 'no sample was taken yet'
    const heap = this.#freshHeap(now, intervalMs)
    const { kind } = this.watched
    if (taken === undefined) unavailable['cpuRatio'] = this.#noCpu(why)
    if (kind === 'thread') unavailable['rssBytes'] = NO_THREAD_MEMORY
    else if (taken === undefined) unavailable['rssBytes'] = why
    if (kind === 'process' && this.#failed === undefined && this.#smapsReason !== undefined)
      unavailable['pssBytes'] = this.#smapsReason
    if (heap === undefined) unavailable['heap'] = this.#noHeap(now)
    return {
      ...(taken === undefined ? {} : this.#takenFigures(taken, now)),
      ...(taken === undefined || this.#smaps === undefined ? {} : this.#smapsFigures(this.#smaps, now)),
      ...(heap === undefined ? {} : { heap }),
      ...(Object.keys(unavailable).length === 0 ? {} : { unavailable }),
    }
  }

  /** The last figures that could be read, as evidence for the end of the run. */
  evidence(now: Moment): WorkerSample | undefined {
    if (this.#last === undefined && this.#heap === undefined) return undefined
    return {
      ...(this.#last === undefined ? {} : this.#takenFigures(this.#last, now)),
      ...(this.#heap === undefined ? {} : { heap: this.#heapFigures(this.#heap, now) }),
    }
  }

  #read(): ProcResult<Reading> | undefined {
    const { kind, pid, tid } = this.watched
    if (kind === 'process') return readProcessFigures(pid, this.#units, this.#root)
    return tid === undefined ? undefined : readThreadFigures(pid, tid, this.#units, this.#root)
  }

  #lost(reason: ProcReason): Outcome {
    this.#failed = reason === 'gone' ? GONE : `/proc could not be read: ${reason}`
    this.#taken = this.#smaps = undefined
    return reason
  }

  #takePss(moment: Moment): void {
    const rollup = readSmapsRollup(this.watched.pid, this.#root)
    if (!rollup.ok) {
      this.#smaps = undefined
      this.#smapsReason = `smaps_rollup could not be read: ${rollup.reason}`
      return
    }
    const { pssBytes, anonBytes } = rollup.value
    this.#smaps = { moment, pssBytes, anonBytes }
    this.#smapsReason = undefined
  }

  #takenFigures({ moment, reading, ratio, windowMs }: Taken, now: Moment): WorkerSample {
    return {
      at: moment.at,
      ageMs: Math.round(now.monotonic - moment.monotonic),
      cpuMs: Math.round(reading.cpuMs * 10) / 10,
      cpuRatio: round4(ratio),
      cpuWindowMs: Math.round(windowMs),
      ...(reading.rssBytes === undefined ? {} : { rssBytes: reading.rssBytes }),
    }
  }

  #smapsFigures(smaps: Smaps, now: Moment): WorkerSample {
    const { pssBytes, anonBytes, moment } = smaps
    return { pssBytes, anonBytes, pssAgeMs: Math.round(now.monotonic - moment.monotonic) }
  }

  #freshHeap(now: Moment, intervalMs: number): WorkerSample['heap'] {
    if (this.#heap === undefined) return undefined
    const heap = this.#heapFigures(this.#heap, now)
    return heap.ageMs > HEAP_INTERVALS * intervalMs ? undefined : heap
  }

  #heapFigures({ figures, moment }: HeapReport, now: Moment): NonNullable<WorkerSample['heap']> {
    return { source: 'v8', ...figures, ageMs: Math.round(now.monotonic - moment.monotonic) }
  }

  #noCpu(why: string): string {
    return this.watched.kind === 'thread' && this.watched.tid === undefined ? NO_TID : why
  }

  #noHeap(now: Moment): string {
    if (this.watched.requestHeap === undefined)
      return 'a script reports its heap only in a process and with inside: true'
    if (this.#heap === undefined) return 'it has not answered yet'
    const seconds = Math.round((now.monotonic - this.#heap.moment.monotonic) / 1000)
    return `its loop has not answered for ${seconds} s`
  }
}

function round4(value: number): number {
  return Math.round(value * 10_000) / 10_000
}

/** The units of this kernel's files. */
export interface KernelUnits {
  readonly ticksPerSecond: number
  readonly pageSizeBytes: number
}

/** Used where the kernel does not report them. Correct for every Linux that Node runs on, except for pages of 16 or 64 KiB on
 *  some arm64 and ppc64 machines. */
export const USUAL_UNITS: KernelUnits = { ticksPerSecond: 100, pageSizeBytes: 4096 }

interface Reading {
  /** Start time in ticks since boot: together with the pid it identifies one process permanently. */
  readonly startTicks: number
  /** User and system time since the start. */
  readonly cpuMs: number
  /** Absent for a thread: the kernel keeps no memory per thread. */
  readonly rssBytes?: number
}

/** A failure means that USUAL_UNITS must be used. */
export function readUnits(root: string = PROC_ROOT): ProcResult<KernelUnits> {
  return readAuxv('self', root)
}

/** Returns `gone` also for a zombie, and for a process that is exiting. */
function readProcessFigures(pid: number, units: KernelUnits, root: string): ProcResult<Reading> {
  const stat = readStat(pid, root)
  if (!stat.ok) return stat
  if (hasEnded(stat.value)) return gone(`${root}/${pid}/stat`)
  const statm = readStatm(pid, units.pageSizeBytes, root)
  if (!statm.ok) return statm
  // An exiting process has released its memory some time before it is a zombie: all zeros then (fs/proc/array.c).
  if (statm.value.sizeBytes === 0) return gone(`${root}/${pid}/statm`)
  const { startTicks } = stat.value
  return {
    ok: true,
    value: { startTicks, cpuMs: ticksMs(stat.value, units), rssBytes: statm.value.rssBytes },
  }
}

/** The same for one thread, without memory. */
function readThreadFigures(pid: number, tid: number, units: KernelUnits, root: string): ProcResult<Reading> {
  const stat = readProc(pid, `task/${tid}/stat`, parseStat, root)
  // The folder of an ended thread is missing in that of a live process.
  if (!stat.ok) return stat.reason === 'unsupported' ? gone(stat.path) : stat
  if (hasEnded(stat.value)) return gone(`${root}/${pid}/task/${tid}/stat`)
  const scheduled = readTaskSchedstat(pid, tid, root)
  // In a kernel built without scheduler statistics the file exists and contains zeros.
  const cpuMs = scheduled.ok && scheduled.value.cpuMs > 0 ? scheduled.value.cpuMs : ticksMs(stat.value, units)
  return { ok: true, value: { startTicks: stat.value.startTicks, cpuMs } }
}

function ticksMs({ userTicks, systemTicks }: ProcStat, units: KernelUnits): number {
  return ((userTicks + systemTicks) * 1000) / units.ticksPerSecond
}

function hasEnded({ state }: ProcStat): boolean {
  return state === 'Z' || state === 'X'
}

function gone(path: string): ProcFailure {
  return { ok: false, reason: 'gone', path }
}

// The figures of one run of one worker. They belong to the run: the next one begins with none, and what can no longer be
// read is absent with the reason instead of standing still.

import { PROC_ROOT } from '../../procfs/read.ts'
import type { ProcReason, ProcResult } from '../../procfs/read.ts'
import { readSmapsRollup } from '../../procfs/smaps-rollup.ts'
import type { HeapFigures, WorkerSample } from '../../herd/status.ts'
import type { KernelUnits, Reading } from './read-figures.ts'
import { readProcessFigures, readThreadFigures } from './read-figures.ts'

/** What is watched. */
export interface Watched {
  readonly worker: string
  readonly kind: 'thread' | 'process'
  readonly pid: number
  /** The kernel's id of the thread; undefined for one that does not tell, which is a script. */
  readonly tid?: number
  /** When it was launched, monotonic ms: its CPU time was 0 then. */
  readonly launchedAt: number
  /** Asks for the figures of its V8 heap; the answer comes by `heap`. Absent for a script without byre's code inside. */
  readonly ask?: () => void
}

/** `gone`: nothing more will come; else why the reading failed. */
export type Outcome = 'taken' | 'gone' | ProcReason

interface Moment {
  readonly at: number
  readonly monotonic: number
}
interface Taken {
  readonly moment: Moment
  readonly reading: Reading
  /** CPU since the reading before. */
  readonly ratio: number
  readonly windowMs: number
}
/** Its own word on its heap. */
interface Told {
  readonly moment: Moment
  readonly figures: HeapFigures
}
interface Smaps {
  readonly moment: Moment
  readonly pssBytes: number
  readonly anonBytes: number
}

const NO_THREAD_MEMORY = 'the kernel keeps no memory per thread; see heap, which is V8'
const NO_TID = 'its kernel thread is not known: a script does not tell it'
const GONE = 'its process is gone'
/** PSS walks every page table: at every fourth sample. */
const PSS_EVERY = 4
/** An answer older than so many intervals is not shown any more. */
const HEAP_INTERVALS = 3

export class Target {
  readonly watched: Watched
  readonly #units: KernelUnits
  readonly #root: string
  #startTicks: number | undefined
  #taken: Taken | undefined
  /** Outlives a reading that fails: evidence, never shown as a figure of now. */
  #last: Taken | undefined
  #smaps: Smaps | undefined
  #smapsReason: string | undefined
  #heap: Told | undefined
  #failed: string | undefined
  #asked = false
  #count = 0

  constructor(watched: Watched, units: KernelUnits, root: string = PROC_ROOT) {
    this.watched = watched
    this.#units = units
    this.#root = root
  }

  /** Takes a sample now. */
  take(moment: Moment): Outcome {
    // One question at a time: a starved loop would find a queue of them.
    if (!this.#asked) this.watched.ask?.()
    this.#asked = true
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

  /** Its own word on its heap. */
  heap(figures: HeapFigures, moment: Moment): void {
    this.#asked = false
    this.#heap = { moment, figures }
  }

  /** What is known now; `intervalMs` decides what is too old. */
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

  /** The last figures that could be taken, whatever happened since; for the evidence of its end. */
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

  #heapFigures({ figures, moment }: Told, now: Moment): NonNullable<WorkerSample['heap']> {
    return { source: 'v8', ...figures, ageMs: Math.round(now.monotonic - moment.monotonic) }
  }

  #noCpu(why: string): string {
    return this.watched.kind === 'thread' && this.watched.tid === undefined ? NO_TID : why
  }

  #noHeap(now: Moment): string {
    if (this.watched.ask === undefined) return 'a script can be asked only in a process and with inside: true'
    if (this.#heap === undefined) return 'it has not answered yet'
    const seconds = Math.round((now.monotonic - this.#heap.moment.monotonic) / 1000)
    return `its loop has not answered for ${seconds} s`
  }
}

function round4(value: number): number {
  return Math.round(value * 10_000) / 10_000
}

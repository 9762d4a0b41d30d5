// Aggregates the samples of a run: peaks, stages, the snapshot at the peak, and a timeline of bounded length. Pure; samples
// are added one by one and not retained.

import { median } from './stats.ts'
import { sumMemory } from './tree-memory.ts'
import type { PeakSplit, ProcessAtPeak, StageFigures, Timeline } from './result.ts'

/** One process of a sample. */
export interface SampledProcess extends ProcessAtPeak {
  /** User and system time so far. */
  readonly cpuMs: number
  /** Identifies the process together with its pid, since pids are reused. */
  readonly startTicks: number
}

export interface TreeSample {
  /** Time since the start of the command. */
  readonly atMs: number
  readonly currentBytes?: number
  readonly processes: readonly SampledProcess[]
  /** Upper bound of the error of its PSS (torn-reads.ts). @default 0 */
  readonly uncertainBytes?: number
}

export interface SeriesResult {
  readonly pssBytes?: number
  /** Upper bound of the error of pssBytes. */
  readonly pssUncertainBytes?: number
  readonly ussBytes?: number
  readonly rssBytes?: number
  readonly anonBytes?: number
  readonly stages: StageFigures[]
  readonly drivingStage?: string
  readonly topProcesses: ProcessAtPeak[]
  readonly mostProcesses: number
  readonly samples: number
  readonly medianIntervalMs?: number
  readonly timeline: Timeline
}

/** Maximum number of rows of a timeline. Beyond that, of each pair of rows only the higher one is kept. */
export const TIMELINE_LIMIT = 1000
const ROW_PROCESSES = 8
const TOP_PROCESSES = 10

interface Row {
  readonly atMs: number
  readonly currentBytes: number | undefined
  readonly pssBytes: number
  readonly stages: ReadonlyMap<string, number>
  readonly processes: ReadonlyMap<string, number>
}

/** A sum and the upper bound of its error. The peak is the reading with the highest lower bound, since a torn one may be far too
 *  high. */
interface Estimate {
  readonly bytes: number
  readonly uncertainBytes: number
}

interface StageTotals {
  peakPss: Estimate
  peakAnon: number
  atPeak: number
  wallMs: number
  cpuMs: number
  processes: number
}

const NO_READING: Estimate = { bytes: 0, uncertainBytes: Number.POSITIVE_INFINITY }

export class SampleSeries {
  #rows: Row[] = []
  readonly #stages = new Map<string, StageTotals>()
  readonly #intervals: number[] = []
  /** CPU time by process in the previous sample. */
  #cpu = new Map<string, number>()
  #currentStages = new Set<string>()
  #lastMs = 0
  #samples = 0
  #highest: { pss: Estimate; processes: readonly SampledProcess[] } | undefined
  #uss = NO_READING
  #peaks = { rssBytes: 0, anonBytes: 0 }
  #mostProcesses = 0

  add(sample: TreeSample): void {
    const total = sumMemory(sample.processes)
    const estimate = (bytes: number): Estimate => ({ bytes, uncertainBytes: sample.uncertainBytes ?? 0 })
    this.#addElapsed(sample.atMs)
    this.#samples++
    for (const key of ['rssBytes', 'anonBytes'] as const)
      this.#peaks[key] = Math.max(this.#peaks[key], total[key])
    this.#uss = higher(this.#uss, estimate(total.ussBytes))
    this.#mostProcesses = Math.max(this.#mostProcesses, sample.processes.length)
    const pss = estimate(total.pssBytes)
    const isHighest = this.#highest === undefined || higher(this.#highest.pss, pss) === pss
    if (isHighest) this.#highest = { pss, processes: sample.processes }
    const byStage = this.#addStages(sample.processes, estimate)
    if (isHighest) for (const [name, stage] of this.#stages) stage.atPeak = byStage.get(name) ?? 0
    this.#rows.push({
      atMs: Math.round(sample.atMs),
      currentBytes: sample.currentBytes,
      pssBytes: total.pssBytes,
      stages: byStage,
      processes: largest(sample.processes),
    })
    if (this.#rows.length > TIMELINE_LIMIT) this.#rows = halve(this.#rows)
  }

  /** `endMs` is when the command ended; the stages of the last sample last until then. */
  finish(endMs: number): SeriesResult {
    this.#addElapsed(endMs)
    const stages = [...this.#stages].map(([name, s]) => ({
      name,
      peakPssBytes: s.peakPss.bytes,
      peakAnonBytes: s.peakAnon,
      atPeakPssBytes: s.atPeak,
      wallMs: Math.round(s.wallMs),
      cpuMs: Math.round(s.cpuMs),
      processes: s.processes,
    }))
    const driving = stages.toSorted((a, b) => b.atPeakPssBytes - a.atPeakPssBytes)[0]
    const top = (this.#highest?.processes ?? [])
      .toSorted((a, b) => b.pssBytes - a.pssBytes)
      .slice(0, TOP_PROCESSES)
      .map(({ cpuMs: _cpu, startTicks: _start, ...rest }) => rest)
    return {
      ...this.#figures(),
      stages,
      ...(driving === undefined ? {} : { drivingStage: driving.name }),
      topProcesses: top,
      mostProcesses: this.#mostProcesses,
      samples: this.#samples,
      ...(this.#intervals.length === 0 ? {} : { medianIntervalMs: Math.round(median(this.#intervals)) }),
      timeline: toTimeline(this.#rows),
    }
  }

  #figures(): Pick<SeriesResult, 'pssBytes' | 'pssUncertainBytes' | 'ussBytes' | 'rssBytes' | 'anonBytes'> {
    if (this.#highest === undefined) return {}
    const { bytes, uncertainBytes } = this.#highest.pss
    return {
      pssBytes: bytes,
      pssUncertainBytes: uncertainBytes,
      ussBytes: this.#uss.bytes,
      ...this.#peaks,
    }
  }

  /** Adds the elapsed time to the stages of the previous sample. */
  #addElapsed(atMs: number): void {
    if (this.#samples > 0) {
      const passed = Math.max(0, atMs - this.#lastMs)
      for (const name of this.#currentStages) this.#stages.get(name)!.wallMs += passed
      if (this.#intervals.length < TIMELINE_LIMIT) this.#intervals.push(passed)
    }
    this.#lastMs = atMs
  }

  #addStages(
    processes: readonly SampledProcess[],
    estimate: (bytes: number) => Estimate,
  ): Map<string, number> {
    const pss = new Map<string, number>()
    const anon = new Map<string, number>()
    const count = new Map<string, number>()
    const cpu = new Map<string, number>()
    for (const process of processes) {
      const { stage } = process
      let totals = this.#stages.get(stage)
      if (totals === undefined) {
        totals = { peakPss: NO_READING, peakAnon: 0, atPeak: 0, wallMs: 0, cpuMs: 0, processes: 0 }
        this.#stages.set(stage, totals)
      }
      pss.set(stage, (pss.get(stage) ?? 0) + process.pssBytes)
      anon.set(stage, (anon.get(stage) ?? 0) + process.anonBytes)
      count.set(stage, (count.get(stage) ?? 0) + 1)
      const id = `${process.pid}:${process.startTicks}`
      totals.cpuMs += Math.max(0, process.cpuMs - (this.#cpu.get(id) ?? 0))
      cpu.set(id, process.cpuMs)
    }
    for (const [name, bytes] of pss) {
      const totals = this.#stages.get(name)!
      totals.peakPss = higher(totals.peakPss, estimate(bytes))
      totals.peakAnon = Math.max(totals.peakAnon, anon.get(name)!)
      totals.processes = Math.max(totals.processes, count.get(name)!)
    }
    this.#cpu = cpu
    this.#currentStages = new Set(pss.keys())
    return pss
  }
}

function higher(kept: Estimate, seen: Estimate): Estimate {
  return seen.bytes - seen.uncertainBytes > kept.bytes - kept.uncertainBytes ? seen : kept
}

function largest(processes: readonly SampledProcess[]): Map<string, number> {
  const sorted = processes.toSorted((a, b) => b.pssBytes - a.pssBytes)
  return new Map(sorted.slice(0, ROW_PROCESSES).map((p) => [`${p.name} ${p.pid}`, p.pssBytes]))
}

function halve(rows: readonly Row[]): Row[] {
  const kept: Row[] = []
  for (let i = 0; i < rows.length; i += 2) {
    const [a, b] = [rows[i]!, rows[i + 1]]
    kept.push(b !== undefined && heightOf(b) > heightOf(a) ? b : a)
  }
  return kept
}

function heightOf(row: Row): number {
  return row.currentBytes ?? row.pssBytes
}

/** Series of the twelve largest processes; 'others' is the rest, so that their sum is the total. */
function toTimeline(rows: readonly Row[]): Timeline {
  const heights = new Map<string, number>()
  const stageNames = new Set<string>()
  for (const row of rows) {
    for (const name of row.stages.keys()) stageNames.add(name)
    for (const [name, bytes] of row.processes) heights.set(name, Math.max(heights.get(name) ?? 0, bytes))
  }
  const names = [...heights].toSorted((a, b) => b[1] - a[1]).slice(0, 12)
  const processes: Record<string, number[]> = {}
  for (const [name] of names) processes[name] = rows.map((row) => row.processes.get(name) ?? 0)
  if (rows.length > 0)
    processes['others'] = rows.map((row) =>
      Math.max(
        0,
        names.reduce((left, [name]) => left - (row.processes.get(name) ?? 0), row.pssBytes),
      ),
    )
  const withCurrent = rows.length > 0 && rows.every((row) => row.currentBytes !== undefined)
  return {
    atMs: rows.map((row) => row.atMs),
    ...(withCurrent ? { currentBytes: rows.map((row) => row.currentBytes!) } : {}),
    stages: Object.fromEntries(
      [...stageNames].map((name) => [name, rows.map((row) => row.stages.get(name) ?? 0)]),
    ),
    processes,
  }
}

/** The split of the higher of two readings of a cgroup. */
export function highestSplit(kept: PeakSplit | undefined, seen: PeakSplit): PeakSplit {
  return kept === undefined || seen.currentBytes > kept.currentBytes ? seen : kept
}

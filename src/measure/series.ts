// What a run's samples come to: peaks, stages, the snapshot at the highest moment, a timeline of bounded length. Pure;
// samples go in one by one and are not kept.

import { median } from './stats.ts'
import type { PeakSplit, ProcessAtPeak, StageFigures, Timeline } from './result.ts'

/** One process of a sample. */
export interface SampledProcess extends ProcessAtPeak {
  /** User and system time so far. */
  readonly cpuMs: number
  /** With the pid it names one process for good. */
  readonly startTicks: number
}

export interface TreeSample {
  /** Since the command was started. */
  readonly atMs: number
  readonly currentBytes?: number
  readonly processes: readonly SampledProcess[]
  /** The most by which its PSS may be off (torn.ts). @default 0 */
  readonly uncertainBytes?: number
}

export interface SeriesResult {
  readonly pssBytes?: number
  /** The most by which pssBytes may be off. */
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

export interface SampleSeries {
  add(sample: TreeSample): void
  /** `endMs`: when the command ended, so that the last sample's stages last until then. */
  finish(endMs: number): SeriesResult
}

/** Rows of a timeline; beyond, pairs of rows become one, the higher of the two. */
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

/** Of two readings the one counts that certainly held more: a torn one may read far too much. */
interface Certain {
  readonly bytes: number
  readonly uncertainBytes: number
}

interface StageTotals {
  peakPss: Certain
  peakAnon: number
  atPeak: number
  wallMs: number
  cpuMs: number
  processes: number
}

const NOTHING_SEEN: Certain = { bytes: 0, uncertainBytes: Number.POSITIVE_INFINITY }

export function createSeries(): SampleSeries {
  return new Series()
}

class Series implements SampleSeries {
  #rows: Row[] = []
  readonly #stages = new Map<string, StageTotals>()
  readonly #intervals: number[] = []
  /** CPU time by process of the sample before. */
  #cpu = new Map<string, number>()
  #live = new Set<string>()
  #lastMs = 0
  #samples = 0
  #highest: { pss: Certain; processes: readonly SampledProcess[] } | undefined
  #uss = NOTHING_SEEN
  #peaks = { rssBytes: 0, anonBytes: 0 }
  #mostProcesses = 0

  add(sample: TreeSample): void {
    const total = sumOf(sample.processes)
    const certain = (bytes: number): Certain => ({ bytes, uncertainBytes: sample.uncertainBytes ?? 0 })
    this.#pass(sample.atMs)
    this.#samples++
    for (const key of ['rssBytes', 'anonBytes'] as const)
      this.#peaks[key] = Math.max(this.#peaks[key], total[key])
    this.#uss = higher(this.#uss, certain(total.ussBytes))
    this.#mostProcesses = Math.max(this.#mostProcesses, sample.processes.length)
    const pss = certain(total.pssBytes)
    const isHighest = this.#highest === undefined || higher(this.#highest.pss, pss) === pss
    if (isHighest) this.#highest = { pss, processes: sample.processes }
    const byStage = this.#addStages(sample.processes, certain)
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

  finish(endMs: number): SeriesResult {
    this.#pass(endMs)
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

  /** Time passes: it belongs to the stages the sample before saw. */
  #pass(atMs: number): void {
    if (this.#samples > 0) {
      const passed = Math.max(0, atMs - this.#lastMs)
      for (const name of this.#live) this.#stages.get(name)!.wallMs += passed
      if (this.#intervals.length < TIMELINE_LIMIT) this.#intervals.push(passed)
    }
    this.#lastMs = atMs
  }

  #addStages(processes: readonly SampledProcess[], certain: (bytes: number) => Certain): Map<string, number> {
    const pss = new Map<string, number>()
    const anon = new Map<string, number>()
    const count = new Map<string, number>()
    const cpu = new Map<string, number>()
    for (const process of processes) {
      const { stage } = process
      let totals = this.#stages.get(stage)
      if (totals === undefined) {
        totals = { peakPss: NOTHING_SEEN, peakAnon: 0, atPeak: 0, wallMs: 0, cpuMs: 0, processes: 0 }
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
      totals.peakPss = higher(totals.peakPss, certain(bytes))
      totals.peakAnon = Math.max(totals.peakAnon, anon.get(name)!)
      totals.processes = Math.max(totals.processes, count.get(name)!)
    }
    this.#cpu = cpu
    this.#live = new Set(pss.keys())
    return pss
  }
}

function higher(kept: Certain, seen: Certain): Certain {
  return seen.bytes - seen.uncertainBytes > kept.bytes - kept.uncertainBytes ? seen : kept
}

function sumOf(processes: readonly SampledProcess[]): {
  pssBytes: number
  ussBytes: number
  rssBytes: number
  anonBytes: number
} {
  const total = { pssBytes: 0, ussBytes: 0, rssBytes: 0, anonBytes: 0 }
  for (const one of processes)
    for (const key of ['pssBytes', 'ussBytes', 'rssBytes', 'anonBytes'] as const) total[key] += one[key]
  return total
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

/** Series of the twelve largest processes; what is not in one of them is in 'others', so that the sum is the whole. */
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

/** Keeps the split of the highest reading of a cgroup. */
export function highestSplit(kept: PeakSplit | undefined, seen: PeakSplit): PeakSplit {
  return kept === undefined || seen.currentBytes > kept.currentBytes ? seen : kept
}

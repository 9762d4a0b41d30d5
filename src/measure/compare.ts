// Compares two results: the difference of each figure, its confidence interval, and a verdict where the data allow one. Pure.
//
// A row is better or worse only when the whole interval of its difference lies beyond the relevance threshold (2 % of
// memory, 5 % of time, and an absolute minimum). The confidence level rises with the number of rows (Bonferroni), so that
// at most one of twenty comparisons of two equal programs reports a difference.

import type { Interval } from './bootstrap.ts'
import { differenceInterval } from './bootstrap.ts'
import type { MeasureResult, MetricName, Phase, RunResult } from './result.ts'
import type { SeriesFigures } from './series-summary.ts'
import { seriesOf } from './series-summary.ts'
import type { Summary } from './stats.ts'
import { summarize } from './stats.ts'

export type Verdict = 'better' | 'worse' | 'no difference shown' | 'no verdict'

export interface CompareRow {
  readonly lane: string
  readonly phase: Phase
  /** Absent for the whole process tree. */
  readonly stage?: string
  readonly metric: MetricName | 'peakPssBytes'
  readonly before: Summary
  readonly after: Summary
  /** after / before - 1 of the medians; absent when before is 0. */
  readonly differenceRatio?: number
  readonly interval?: Interval
  readonly confidence: number
  readonly verdict: Verdict
  /** Why there is no verdict; absent otherwise. */
  readonly reason?: string
}

export interface Comparison {
  readonly version: 1
  readonly kind: 'byre-compare'
  readonly before: string
  readonly after: string
  /** Reasons why no row can have a verdict. */
  readonly obstacles: readonly string[]
  readonly rows: readonly CompareRow[]
  /** Lanes, phases, stages and metrics that only one of the two results contains. */
  readonly unmatched: readonly string[]
  readonly verdict: Verdict | 'mixed'
}

/** A side with fewer successful runs has no verdict. */
export const MIN_RUNS = 5
const CONFIDENCE = 0.95
/** With a larger difference of load per core, times have no verdict. */
const MAX_LOAD_DIFFERENCE = 0.5
const JUDGED = ['peakBytes', 'anonBytes', 'pssBytes', 'wallMs', 'userMs', 'systemMs'] as const
const TIMES = new Set<string>(['wallMs', 'userMs', 'systemMs'])

interface Pair {
  readonly lane: string
  readonly phase: Phase
  readonly stage?: string
  readonly metric: CompareRow['metric']
  readonly before: readonly number[]
  readonly after: readonly number[]
}

export function compare(before: MeasureResult, after: MeasureResult): Comparison {
  const unmatched: string[] = []
  const pairs = pairUp(before, after, unmatched)
  const obstacles = obstaclesOf(before, after)
  const confidence = 1 - (1 - CONFIDENCE) / Math.max(1, pairs.length)
  const busy =
    Math.abs(before.loadAtStart - after.loadAtStart) / before.host.cpus > MAX_LOAD_DIFFERENCE
      ? `the load average was ${before.loadAtStart} before and ${after.loadAtStart} after`
      : undefined
  const rows = pairs.map((pair) => {
    const forbidden = obstacles[0] ?? (TIMES.has(pair.metric) ? busy : undefined)
    return judge(pair, confidence, forbidden)
  })
  return {
    version: 1,
    kind: 'byre-compare',
    before: before.label,
    after: after.label,
    obstacles,
    rows,
    unmatched,
    verdict: overall(rows),
  }
}

/** Compares one figure of two sets of runs; `forbidden` is the reason why it may have no verdict. */
export function judge(pair: Pair, confidence: number, forbidden?: string): CompareRow {
  const before = summarize(pair.before)
  const after = summarize(pair.after)
  const { lane, phase, stage, metric } = pair
  const base = { lane, phase, ...(stage === undefined ? {} : { stage }), metric, before, after, confidence }
  const ratio = before.median > 0 ? { differenceRatio: after.median / before.median - 1 } : {}
  const few = Math.min(before.n, after.n)
  if (few < MIN_RUNS) {
    const reason = `one side has ${few} successful run${few === 1 ? '' : 's'}, at least ${MIN_RUNS} are needed`
    return { ...base, ...ratio, verdict: 'no verdict', reason: forbidden ?? reason }
  }
  const interval = differenceInterval(pair.before, pair.after, confidence)
  if (forbidden !== undefined || interval === undefined)
    return {
      ...base,
      ...ratio,
      ...(interval === undefined ? {} : { interval }),
      verdict: 'no verdict',
      reason: forbidden ?? 'the figure before is 0',
    }
  const matters = relevance(metric, before.median)
  const verdict =
    interval.lowRatio > matters ? 'worse' : interval.highRatio < -matters ? 'better' : 'no difference shown'
  return { ...base, ...ratio, interval, verdict }
}

/** The smallest relevant ratio: 2 % and 1 MB of memory, 5 % and 20 ms of time. */
function relevance(metric: string, median: number): number {
  return metric.endsWith('Ms') ? Math.max(0.05, 20 / median) : Math.max(0.02, 1e6 / median)
}

function pairUp(before: MeasureResult, after: MeasureResult, unmatched: string[]): Pair[] {
  const [a, b] = [seriesOf(before), seriesOf(after)]
  const single = before.lanes.length === 1 && after.lanes.length === 1
  const pairs: Pair[] = []
  for (const one of a) {
    const other = b.find((s) => s.phase === one.phase && (single || s.lane === one.lane))
    if (other === undefined) unmatched.push(`${one.lane} (${one.phase}) is only in ${before.label}`)
    else pairs.push(...pairSeries(one, other, unmatched))
  }
  for (const one of b)
    if (!a.some((s) => s.phase === one.phase && (single || s.lane === one.lane)))
      unmatched.push(`${one.lane} (${one.phase}) is only in ${after.label}`)
  return pairs
}

function pairSeries(before: SeriesFigures, after: SeriesFigures, unmatched: string[]): Pair[] {
  const pairs: Pair[] = []
  const { lane, phase } = before
  for (const metric of JUDGED) {
    const [a, b] = [metricValues(before.good, metric), metricValues(after.good, metric)]
    if (a.length > 0 && b.length > 0) pairs.push({ lane, phase, metric, before: a, after: b })
    else if (a.length + b.length > 0) unmatched.push(`${metric} of ${lane} (${phase}) is in one result only`)
  }
  const stages = new Set([...before.stages, ...after.stages].map((stage) => stage.name))
  if (stages.size < 2) return pairs
  for (const stage of stages) {
    const [a, b] = [stageValues(before.good, stage), stageValues(after.good, stage)]
    if (a.length > 0 && b.length > 0)
      pairs.push({ lane, phase, stage, metric: 'peakPssBytes', before: a, after: b })
    else unmatched.push(`stage ${stage} of ${lane} (${phase}) is in one result only`)
  }
  return pairs
}

function metricValues(runs: readonly RunResult[], metric: MetricName): number[] {
  return runs.map((run) => run.metrics[metric]).filter((value) => value !== undefined)
}

/** A stage too short to be sampled in every run has fewer values, and possibly too few for a verdict. */
function stageValues(runs: readonly RunResult[], name: string): number[] {
  return runs.flatMap((run) => run.stages.filter((s) => s.name === name).map((s) => s.peakPssBytes))
}

function obstaclesOf(before: MeasureResult, after: MeasureResult): string[] {
  const found: string[] = []
  for (const key of ['cpuModel', 'cpus', 'totalMemoryBytes', 'kernel', 'node'] as const)
    if (before.host[key] !== after.host[key])
      found.push(`the machines differ: ${key} ${before.host[key]} and ${after.host[key]}`)
  const sources = (result: MeasureResult): string =>
    [...new Set(result.runs.filter((run) => run.ok).map((run) => run.peak.source))].toSorted().join(', ')
  if (sources(before) !== sources(after))
    found.push(
      `the peaks come from different sources: ${sources(before) || 'none'} and ${sources(after) || 'none'}`,
    )
  return found
}

function overall(rows: readonly CompareRow[]): Comparison['verdict'] {
  const has = (verdict: Verdict): boolean => rows.some((row) => row.verdict === verdict)
  if (has('worse')) return has('better') ? 'mixed' : 'worse'
  if (has('better')) return 'better'
  return has('no difference shown') ? 'no difference shown' : 'no verdict'
}

// Two results: what differs, how sure that is, and no verdict where none can be given. Pure.
//
// A row is better or worse only when the whole interval of its difference lies beyond what matters (2 % of memory, 5 % of
// time, and an absolute floor). The more rows are judged at once, the surer each must be (Bonferroni), so that two equal
// programs are called different in at most one comparison of twenty.

import type { Interval } from './bootstrap.ts'
import { differenceInterval } from './bootstrap.ts'
import type { MeasureResult, MetricName, Phase, RunResult } from './result.ts'
import type { SeriesFigures } from './series-figures.ts'
import { seriesOf } from './series-figures.ts'
import type { Summary } from './stats.ts'
import { summarize } from './stats.ts'

export type Verdict = 'better' | 'worse' | 'no difference shown' | 'no verdict'

export interface CompareRow {
  readonly lane: string
  readonly phase: Phase
  /** Absent: the whole tree. */
  readonly stage?: string
  readonly metric: MetricName | 'peakPssBytes'
  readonly before: Summary
  readonly after: Summary
  /** Of the medians, after / before - 1; absent when before is 0. */
  readonly differenceRatio?: number
  readonly interval?: Interval
  readonly confidence: number
  readonly verdict: Verdict
  /** Why there is no verdict. */
  readonly reason?: string
}

export interface Comparison {
  readonly version: 1
  readonly kind: 'byre-compare'
  readonly before: string
  readonly after: string
  /** What forbids every verdict. */
  readonly obstacles: readonly string[]
  readonly rows: readonly CompareRow[]
  /** Lanes, phases or stages that only one of the two has. */
  readonly unmatched: readonly string[]
  readonly verdict: Verdict | 'mixed'
}

/** Fewer runs of a side give no verdict. */
export const FEWEST_RUNS = 5
const CONFIDENCE = 0.95
/** Loads further apart than this, in cores, make times incomparable. */
const LOAD_APART = 0.5
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
    Math.abs(before.loadAtStart - after.loadAtStart) / before.host.cpus > LOAD_APART
      ? `the load was ${before.loadAtStart} before and ${after.loadAtStart} after`
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

/** One figure of two sets of runs; `forbidden` says why there may be no verdict. */
export function judge(pair: Pair, confidence: number, forbidden?: string): CompareRow {
  const before = summarize(pair.before)
  const after = summarize(pair.after)
  const { lane, phase, stage, metric } = pair
  const base = { lane, phase, ...(stage === undefined ? {} : { stage }), metric, before, after, confidence }
  const ratio = before.median > 0 ? { differenceRatio: after.median / before.median - 1 } : {}
  const few = Math.min(before.n, after.n)
  if (few < FEWEST_RUNS) {
    const reason = `${few} good run${few === 1 ? '' : 's'} of a side, at least ${FEWEST_RUNS} are needed`
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

/** The smallest ratio that matters: 2 % and 1 MB of memory, 5 % and 20 ms of time. */
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

/** A stage too short to be sampled in some runs has fewer values, and then perhaps no verdict. */
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
      `the peaks were read in different ways: ${sources(before) || 'none'} and ${sources(after) || 'none'}`,
    )
  return found
}

function overall(rows: readonly CompareRow[]): Comparison['verdict'] {
  const has = (verdict: Verdict): boolean => rows.some((row) => row.verdict === verdict)
  if (has('worse')) return has('better') ? 'mixed' : 'worse'
  if (has('better')) return 'better'
  return has('no difference shown') ? 'no difference shown' : 'no verdict'
}

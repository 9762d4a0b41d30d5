// Summarises the runs of one series (one lane in one phase) as medians and spread. Pure.

import type { MeasureResult, MetricName, Phase, RunResult } from './result.ts'
import type { Summary } from './stats.ts'
import { meanAndDeviation, summarize } from './stats.ts'

export interface StageSummary {
  readonly name: string
  readonly peakPssBytes: Summary
  readonly peakAnonBytes: Summary
  readonly wallMs: Summary
  readonly cpuMs: Summary
  readonly processes: number
  /** Number of runs in which this stage had the largest share of the peak. */
  readonly drives: number
}

export interface SeriesFigures {
  readonly lane: string
  readonly phase: Phase
  /** All runs, including failed ones. */
  readonly runs: readonly RunResult[]
  /** Runs that exited 0 and verified; the figures are of these, or of all runs if there are none. */
  readonly good: readonly RunResult[]
  readonly metrics: Readonly<Partial<Record<MetricName, Summary>>>
  readonly wall?: { readonly meanMs: number; readonly deviationMs: number }
  readonly stages: readonly StageSummary[]
}

/** In the order of lanes, cold before warm. */
export function seriesOf(result: MeasureResult): SeriesFigures[] {
  const found: SeriesFigures[] = []
  for (const { name } of result.lanes)
    for (const phase of ['cold', 'warm'] as const) {
      const runs = result.runs.filter((run) => run.lane === name && run.phase === phase)
      if (runs.length > 0) found.push(figuresOf(name, phase, runs))
    }
  return found
}

function figuresOf(lane: string, phase: Phase, runs: readonly RunResult[]): SeriesFigures {
  const good = runs.filter((run) => run.ok)
  // A series without a good run shows the figures of the failed ones.
  const used = good.length > 0 ? good : runs
  const metrics: Partial<Record<MetricName, Summary>> = {}
  const names = new Set(used.flatMap((run) => Object.keys(run.metrics) as MetricName[]))
  for (const name of names) {
    const values = used.map((run) => run.metrics[name]).filter((value) => value !== undefined)
    metrics[name] = summarize(values)
  }
  const wall = used.map((run) => run.metrics.wallMs).filter((value) => value !== undefined)
  const spread = wall.length === 0 ? undefined : meanAndDeviation(wall)
  return {
    lane,
    phase,
    runs,
    good,
    metrics,
    ...(spread === undefined ? {} : { wall: { meanMs: spread.mean, deviationMs: spread.deviation } }),
    stages: stagesOf(used),
  }
}

function stagesOf(runs: readonly RunResult[]): StageSummary[] {
  const names = [...new Set(runs.flatMap((run) => run.stages.map((stage) => stage.name)))]
  return names.map((name) => {
    const seen = runs.flatMap((run) => run.stages.filter((stage) => stage.name === name))
    const of = (key: 'peakPssBytes' | 'peakAnonBytes' | 'wallMs' | 'cpuMs'): Summary =>
      summarize(seen.map((stage) => stage[key]))
    return {
      name,
      peakPssBytes: of('peakPssBytes'),
      peakAnonBytes: of('peakAnonBytes'),
      wallMs: of('wallMs'),
      cpuMs: of('cpuMs'),
      processes: Math.max(...seen.map((stage) => stage.processes)),
      drives: runs.filter((run) => run.drivingStage === name).length,
    }
  })
}

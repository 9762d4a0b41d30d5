// A measurement for the textfile collector of the Prometheus node exporter. Pure.

import type { MeasureResult } from '../measure/result.ts'
import type { SeriesFigures } from '../measure/series-summary.ts'
import { seriesOf } from '../measure/series-summary.ts'

/** The medians of each series; figures that could not be measured are omitted. */
export function measurePrometheus(result: MeasureResult): string {
  const lines: string[] = []
  const all = seriesOf(result)
  const metric = (name: string, help: string, rows: readonly (readonly [string, number])[]): void => {
    if (rows.length === 0) return
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`)
    for (const [labels, value] of rows) lines.push(`${name}{${labels}} ${value}`)
  }
  const of = (series: SeriesFigures): string =>
    `label="${quote(result.label)}",lane="${quote(series.lane)}",phase="${series.phase}"`
  for (const [name, key, help, factor] of GAUGES)
    metric(
      name,
      help,
      all.flatMap((series) => {
        const value = series.metrics[key]?.median
        return value === undefined ? [] : [[of(series), value * factor] as const]
      }),
    )
  metric(
    'byre_measure_stage_peak_pss_bytes',
    'Highest proportional set size of a stage, median of the runs.',
    all.flatMap((series) =>
      series.stages.map((s) => [`${of(series)},stage="${quote(s.name)}"`, s.peakPssBytes.median] as const),
    ),
  )
  metric(
    'byre_measure_runs',
    'Runs that exited 0 and verified.',
    all.map((series) => [of(series), series.good.length] as const),
  )
  metric('byre_measure_ok', '1 when every run exited 0 and verified.', [
    [`label="${quote(result.label)}"`, result.ok ? 1 : 0],
  ])
  metric('byre_measure_timestamp_seconds', 'Start time of the measurement.', [
    [`label="${quote(result.label)}"`, Date.parse(result.startedAt) / 1000],
  ])
  return `${lines.join('\n')}\n`
}

const GAUGES = [
  ['byre_measure_peak_bytes', 'peakBytes', 'Peak memory of the whole tree, median of the runs.', 1],
  ['byre_measure_anon_bytes', 'anonBytes', 'Anonymous memory at the highest sample, median of the runs.', 1],
  ['byre_measure_pss_bytes', 'pssBytes', 'Highest proportional set size, median of the runs.', 1],
  ['byre_measure_uss_bytes', 'ussBytes', 'Highest unique set size, median of the runs.', 1],
  ['byre_measure_wall_seconds', 'wallMs', 'Wall time, median of the runs.', 0.001],
  ['byre_measure_user_seconds', 'userMs', 'User CPU time, median of the runs.', 0.001],
  ['byre_measure_system_seconds', 'systemMs', 'System CPU time, median of the runs.', 0.001],
] as const

/** Escapes backslash, quote and newline in a label value. */
function quote(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

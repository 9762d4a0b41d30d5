// A measurement as a pull request comment: one table per phase, then the stages; failed lanes stay in their row. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import type { MeasureResult, MetricName } from '../measure/result.ts'
import type { SeriesFigures } from '../measure/series-summary.ts'
import { seriesOf } from '../measure/series-summary.ts'
import { formatSeconds, outcomeText, sourceText, spread } from './measure-text.ts'
import { printable } from './text-table.ts'

export function measureMarkdown(result: MeasureResult): string {
  const all = seriesOf(result)
  const lines = [`### Memory: ${cell(result.label)}`, '']
  for (const phase of ['cold', 'warm'] as const) {
    const series = all.filter((one) => one.phase === phase)
    if (series.length === 0) continue
    lines.push(
      `| ${phase} | ok | peak | anon | PSS | wall ± σ | user | sys | largest RSS | faults min/maj | switches vol/invol | read/written | net rx/tx |`,
      '|---|---|---|---|---|---|---|---|---|---|---|---|---|',
      ...series.map(laneRow),
      '',
    )
    for (const one of series) lines.push(...stageRows(one))
  }
  lines.push(...verifyRows(result))
  if (result.ceiling !== undefined) {
    const { metric, limitBytes, broken } = result.ceiling
    lines.push(
      `Ceiling ${formatMegabytes(limitBytes)} on ${metric}: ${broken.length === 0 ? 'kept' : '**broken**'}`,
      '',
    )
  }
  const ways = [...new Set(result.runs.map((run) => sourceText(run.peak)))]
  lines.push(
    `Peak: ${ways.map(cell).join('; ')}. ${cell(result.host.cpuModel)}, ${result.host.cpus} cores, Linux ${result.host.kernel}, load ${result.loadAtStart} before the first run.`,
  )
  return `${lines.join('\n')}\n`
}

function laneRow({ lane, metrics, good, runs, wall }: SeriesFigures): string {
  const ok = `${good.length}/${runs.length}`
  if (metrics.wallMs === undefined || good.length === 0)
    return `| ${cell(lane)} | ${ok} | no output captured (${cell(outcomeText(runs[0]!))}) |${' |'.repeat(10)}`
  const text = (name: MetricName, format: (value: number) => string): string =>
    metrics[name] === undefined ? 'not measured' : spread(metrics[name], format)
  const middle = (
    name: MetricName,
    format: (value: number) => string = (n) => String(Math.round(n)),
  ): string => (metrics[name] === undefined ? '?' : format(metrics[name].median))
  const bytes = (name: MetricName): string => middle(name, formatMegabytes)
  const cells = [
    cell(lane),
    ok,
    text('peakBytes', formatMegabytes),
    text('anonBytes', formatMegabytes),
    text('pssBytes', formatMegabytes),
    `${formatSeconds(wall!.meanMs)} ± ${formatSeconds(wall!.deviationMs)}`,
    middle('userMs', formatSeconds),
    middle('systemMs', formatSeconds),
    bytes('largestRssBytes'),
    `${middle('minorFaults')}/${middle('majorFaults')}`,
    `${middle('voluntarySwitches')}/${middle('involuntarySwitches')}`,
    `${bytes('readBytes')}/${bytes('writtenBytes')}`,
    `${bytes('networkReceivedBytes')}/${bytes('networkSentBytes')}`,
  ]
  return `| ${cells.join(' | ')} |`
}

function stageRows({ lane, stages }: SeriesFigures): string[] {
  if (stages.length < 2) return []
  const rows = stages
    .toSorted((a, b) => b.peakPssBytes.median - a.peakPssBytes.median)
    .map(
      (s) =>
        `| ${cell(s.name)} | ${spread(s.peakPssBytes, formatMegabytes)} | ${formatSeconds(s.wallMs.median)} | ${formatSeconds(s.cpuMs.median)} | ${s.drives === 0 ? '' : `drives the peak (${s.drives})`} |`,
    )
  return [
    `Stages of ${cell(lane)}`,
    '',
    '| stage | peak PSS | wall | CPU | |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ]
}

function verifyRows(result: MeasureResult): string[] {
  const last = result.runs.at(-1)
  const rows = (last?.verify ?? []).map(
    (row) => `| ${cell(row.what)} | ${row.ok ? 'ok' : '**failed**'} | ${cell(row.found)} |`,
  )
  for (const [name, bytes] of Object.entries(last?.sizes ?? {}))
    rows.push(`| ${cell(name)} | size | ${formatMegabytes(bytes)} |`)
  return rows.length === 0 ? [] : ['| verify | | found |', '|---|---|---|', ...rows, '']
}

/** Text for a cell of a Markdown table. */
export function cell(text: string): string {
  return printable(text).replaceAll('|', '\\|').replaceAll('<', '&lt;')
}

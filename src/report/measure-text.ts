// A measurement as text: the headline with its split, stages, the processes at the peak, verification, and several
// commands side by side. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import type { MeasureResult, MetricName, Peak, RunResult } from '../measure/result.ts'
import type { SeriesFigures } from '../measure/series-summary.ts'
import { seriesOf } from '../measure/series-summary.ts'
import type { Summary } from '../measure/stats.ts'
import { printable, textTable } from './text-table.ts'

export function measureText(result: MeasureResult, width?: number): string {
  const table = width === undefined ? {} : { width }
  const series = seriesOf(result)
  const lines: string[] = []
  for (const one of series) lines.push(...seriesText(one, result, table), '')
  if (new Set(series.map((one) => one.lane)).size > 1) lines.push(...sideBySide(series, table), '')
  if (result.ceiling !== undefined) lines.push(...ceilingText(result.ceiling), '')
  if (result.interrupted) lines.push('interrupted: the figures end at the interruption', '')
  return `${lines.join('\n').trimEnd()}\n`
}

/** `602.3 MB (598.0-610.2, MAD 2.1 MB, n = 5)`; without the range for one run. */
export function spread(summary: Summary, format: (value: number) => string): string {
  if (summary.n === 1) return format(summary.median)
  const unit = / .*$/.exec(format(summary.median))?.[0] ?? ''
  const number = (value: number): string => {
    const text = format(value)
    return text.endsWith(unit) ? text.slice(0, text.length - unit.length) : text
  }
  return `${format(summary.median)} (${number(summary.min)}-${number(summary.max)}, MAD ${format(summary.mad)}, n = ${summary.n})`
}

export function formatSeconds(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`
}

/** The source of the peak figure. */
export function sourceText(peak: Peak): string {
  if (peak.source === 'sampled') return `SAMPLED, the true peak may be higher: ${peak.way}`
  return `by the kernel, ${peak.way}`
}

/** `exit 0`, `killed by SIGKILL`, or why the command was not started. */
export function outcomeText({ outcome }: Pick<RunResult, 'outcome'>): string {
  if (outcome.kind === 'exited') return `exit ${outcome.code}`
  return outcome.kind === 'killed' ? `killed by ${outcome.signal}` : `not started: ${outcome.reason}`
}

function seriesText(series: SeriesFigures, result: MeasureResult, table: { width?: number }): string[] {
  const { lane, phase, runs, good, metrics } = series
  const command = result.lanes.find((one) => one.name === lane)!.command
  const top = highest(runs)
  const lines = [
    `${printable(command)}  [${phase}, ${good.length} of ${runs.length} run${runs.length === 1 ? '' : 's'} ok]`,
  ]
  if (metrics.peakBytes !== undefined)
    lines.push(`  peak ${spread(metrics.peakBytes, formatMegabytes)}, ${splitText(top)}`)
  lines.push(`  ${sourceText(top.peak)}`)
  if (metrics.wallMs === undefined) lines.push('  no output captured', ...failureText(runs))
  else lines.push(...figureLines(series), ...failureText(runs))
  lines.push(
    ...stageTable(series, table),
    ...processTable(top, table),
    ...verifyTable(runs, table),
    ...limitText(runs),
  )
  for (const note of new Set(runs.flatMap((run) => run.notes))) lines.push(`  note: ${printable(note)}`)
  const { sampling } = top
  lines.push(
    `  sampled ${sampling.samples} times${sampling.medianIntervalMs === undefined ? '' : `, every ${sampling.medianIntervalMs} ms`}, for ${sampling.cpuMs} ms of CPU (${(sampling.cpuRatio * 100).toFixed(1)} % of one core)`,
  )
  return lines
}

function highest(runs: readonly RunResult[]): RunResult {
  return runs.toSorted((a, b) => (b.peak.bytes ?? 0) - (a.peak.bytes ?? 0))[0]!
}

function splitText({ peak, metrics }: RunResult): string {
  const { split } = peak
  if (split === undefined) {
    const anon = metrics.anonBytes
    return anon === undefined ? 'the split is unknown' : `anon ${formatMegabytes(anon)} by smaps`
  }
  const kernel = split.kernelBytes === undefined ? '' : ` + kernel ${formatMegabytes(split.kernelBytes)}`
  return `of which at ${formatSeconds(split.atMs)} (${formatMegabytes(split.currentBytes)}): anon ${formatMegabytes(split.anonBytes)} + file ${formatMegabytes(split.fileBytes)}${kernel}`
}

function figureLines({ metrics, wall }: SeriesFigures): string[] {
  const bytes = (name: MetricName): string =>
    metrics[name] === undefined ? 'not measured' : formatMegabytes(metrics[name].median)
  const count = (name: MetricName): string =>
    metrics[name] === undefined ? 'not measured' : String(Math.round(metrics[name].median))
  const ms = (name: MetricName): string =>
    metrics[name] === undefined ? 'not measured' : formatSeconds(metrics[name].median)
  const sigma = wall === undefined || metrics.wallMs!.n === 1 ? '' : ` ± ${formatSeconds(wall.deviationMs)}`
  return [
    `  wall ${wall === undefined ? '' : formatSeconds(wall.meanMs)}${sigma}, user ${ms('userMs')}, system ${ms('systemMs')}`,
    `  highest sample: PSS ${bytes('pssBytes')}, USS ${bytes('ussBytes')}, RSS ${bytes('rssBytes')} summed; largest process ${bytes('largestRssBytes')}`,
    `  faults ${count('minorFaults')} minor, ${count('majorFaults')} major; switches ${count('voluntarySwitches')} voluntary, ${count('involuntarySwitches')} involuntary`,
    `  disk read ${bytes('readBytes')}, written ${bytes('writtenBytes')}; network of this namespace, other programs included: received ${bytes('networkReceivedBytes')}, sent ${bytes('networkSentBytes')}`,
  ]
}

function failureText(runs: readonly RunResult[]): string[] {
  return runs
    .filter((run) => run.outcome.kind !== 'exited' || run.outcome.code !== 0)
    .slice(0, 3)
    .flatMap((run) => [
      `  run ${run.run}: ${outcomeText(run)}`,
      ...run.output.lastLines
        .split('\n')
        .slice(-5)
        .filter((line) => line.trim() !== '')
        .map((line) => `    | ${printable(line)}`),
    ])
}

/** Name, peak PSS, anon, wall and CPU time of each stage, the largest first, plus the cells of `more`. */
export function stageRows(
  stages: SeriesFigures['stages'],
  more: (stage: SeriesFigures['stages'][number]) => string[],
): string[][] {
  return stages
    .toSorted((a, b) => b.peakPssBytes.median - a.peakPssBytes.median)
    .map((s) => [
      s.name,
      formatMegabytes(s.peakPssBytes.median),
      formatMegabytes(s.peakAnonBytes.median),
      formatSeconds(s.wallMs.median),
      formatSeconds(s.cpuMs.median),
      ...more(s),
    ])
}

function stageTable({ stages, runs }: SeriesFigures, table: { width?: number }): string[] {
  if (stages.length < 2) return []
  const rows = stageRows(stages, (s) => [
    String(s.processes),
    s.drives === 0 ? '' : `drives the peak in ${s.drives} of ${runs.length}`,
  ])
  const columns = [
    { title: 'stage' },
    { title: 'peak PSS', align: 'right' as const },
    { title: 'anon', align: 'right' as const },
    { title: 'wall', align: 'right' as const },
    { title: 'CPU', align: 'right' as const },
    { title: 'processes', align: 'right' as const },
    { title: '' },
  ]
  return textTable(columns, rows, { ...table, indent: '  ' })
}

function processTable(run: RunResult, table: { width?: number }): string[] {
  const rows = run.topProcesses
    .slice(0, 6)
    .map((p) => [
      String(p.pid),
      formatMegabytes(p.pssBytes),
      formatMegabytes(p.anonBytes),
      p.stage,
      p.command,
    ])
  if (rows.length === 0) return []
  const columns = [
    { title: 'pid', align: 'right' as const },
    { title: 'PSS at the peak', align: 'right' as const },
    { title: 'anon', align: 'right' as const },
    { title: 'stage', dropAt: 1 },
    { title: 'command' },
  ]
  return textTable(columns, rows, { ...table, indent: '  ' })
}

function verifyTable(runs: readonly RunResult[], table: { width?: number }): string[] {
  const last = runs.at(-1)!
  const rows = last.verify.map((row, i) => {
    const held = runs.filter((run) => run.verify[i]?.ok === true).length
    return [
      row.what,
      held === runs.length ? 'ok' : `FAILED in ${runs.length - held} of ${runs.length}`,
      row.found,
    ]
  })
  for (const [name, bytes] of Object.entries(last.sizes)) rows.push([name, 'size', formatMegabytes(bytes)])
  if (rows.length === 0) return []
  return textTable([{ title: 'verify' }, { title: '' }, { title: 'found' }], rows, { ...table, indent: '  ' })
}

function limitText(runs: readonly RunResult[]): string[] {
  return runs
    .filter((run) => run.limit !== undefined)
    .slice(-1)
    .map(({ limit }) => `  limit ${formatMegabytes(limit!.limitBytes)}: ${limit!.fit} (${limit!.evidence})`)
}

function sideBySide(series: readonly SeriesFigures[], table: { width?: number }): string[] {
  const lines: string[] = []
  for (const phase of ['cold', 'warm'] as const) {
    const lanes = series.filter((one) => one.phase === phase)
    if (lanes.length < 2) continue
    const rows = lanes.map(({ lane, metrics, good, runs }) => {
      const text = (name: MetricName, format: (value: number) => string): string =>
        metrics[name] === undefined || good.length === 0 ? '' : spread(metrics[name], format)
      return [
        lane,
        `${good.length}/${runs.length}`,
        good.length === 0
          ? `no output captured (${outcomeText(runs[0]!)})`
          : text('peakBytes', formatMegabytes),
        text('pssBytes', formatMegabytes),
        text('wallMs', formatSeconds),
      ]
    })
    const titles = ['side by side', 'ok', 'peak', 'PSS', `wall (${phase})`]
    lines.push(
      ...textTable(
        titles.map((title) => ({ title })),
        rows,
        table,
      ),
    )
  }
  return lines
}

function ceilingText({ metric, limitBytes, broken }: NonNullable<MeasureResult['ceiling']>): string[] {
  if (broken.length === 0) return [`ceiling ${formatMegabytes(limitBytes)} on ${metric}: kept`]
  return [`ceiling ${formatMegabytes(limitBytes)} on ${metric}: BROKEN`, ...broken.map((line) => `  ${line}`)]
}

// From runs to figures: medians with spread, differences of interleaved pairs, claims with their limit, and the table.
import { cpus, loadavg, release, totalmem } from 'node:os'
import { summarize } from '../../../build/src/measure/stats.js'
import { MALLOC_ENV, V8_FLAGS } from './flags.mjs'

/** Figures of one lane: each key of the runs' values becomes one. Keys name their unit (…Bytes, …Ms, …Count). */
export function figuresOf(lane, runs) {
  return Object.keys(runs[0]).map((metric) => ({ lane, metric, ...spread(runs.map((run) => run[metric])) }))
}

/** `a` minus `b`, run by run: the two of a pair ran one after the other. */
export function differenceOf(lane, metric, a, b) {
  return { lane, metric, ...spread(a.map((run, i) => run[metric] - b[i][metric])) }
}

/** `a` over `b`, run by run. */
export function ratioOf(lane, metric, a, b) {
  return {
    lane,
    metric: metric.replace(/[A-Z][a-z]+$/, 'Ratio'),
    ...spread(a.map((run, i) => run[metric] / b[i][metric])),
  }
}

function spread(values) {
  const { n, median, mad, min, max } = summarize(values)
  const round = (value) => Number(value.toPrecision(8))
  return {
    n,
    median: round(median),
    mad: round(mad),
    min: round(min),
    max: round(max),
    values: values.map(round),
  }
}

/** A limit the project set itself, judged on the median. `direction`: 'at most' | 'at least'. */
export function claim(text, figure, limit, direction = 'at most') {
  const holds = direction === 'at most' ? figure.median <= limit : figure.median >= limit
  return { claim: text, metric: figure.metric, median: figure.median, direction, limit, holds }
}

export function buildResult(name, options, { settings = {}, figures, claims = [], notes = [] }) {
  return {
    version: 1,
    name,
    node: options.nodeVersion,
    v8Flags: V8_FLAGS,
    mallocEnv: MALLOC_ENV,
    runs: options.runs,
    machine: {
      cpus: cpus().length,
      cpu: cpus()[0]?.model ?? 'unknown',
      memoryBytes: totalmem(),
      kernel: release(),
      loadAtStart: options.loadAtStart,
      loadAtEnd: load(),
    },
    settings,
    figures,
    claims,
    notes: [...busyNote(options.loadAtStart), ...notes],
  }
}

/** Load average of the last minute: processes that ran or waited for a core. */
export function load() {
  return Number(loadavg()[0].toFixed(2))
}

function busyNote(loadAtStart) {
  if (loadAtStart <= cpus().length / 2) return []
  const text = `the machine was busy (load ${loadAtStart} on ${cpus().length} cores): times and rates are of what was left of it`
  return [text]
}

/** `rows`: the cells, headings first. @default a row for each figure */
export function tableOf(result, rows = figureRows(result.figures)) {
  const lines = alignColumns(rows)
  for (const one of result.claims) {
    const [value, limit] = formatFigures(one.metric, [one.median, one.limit])
    lines.push(`${one.holds ? 'holds ' : 'BROKEN'}  ${one.claim}: ${value}, ${one.direction} ${limit}`)
  }
  return [
    `${result.name}, node ${result.node}, ${result.runs} runs`,
    ...lines,
    ...result.notes.map((n) => `note: ${n}`),
  ]
}

/** Columns: lane, metric, median, spread. */
function figureRows(figures) {
  const rows = [['lane', 'metric', 'median', 'MAD', 'min', 'max', 'n']]
  for (const { lane, metric, n, ...figure } of figures) {
    const values = [figure.median, figure.mad, figure.min, figure.max]
    rows.push([lane, metric, ...formatFigures(metric, values), String(n)])
  }
  return rows
}

/** All of one row in one unit, that of its largest value. */
function formatFigures(metric, values) {
  const largest = Math.max(...values.map(Math.abs))
  const [unit, divisor] = !metric.endsWith('Bytes')
    ? [metric.endsWith('Ms') ? ' ms' : '', 1]
    : largest < 10_240
      ? [' B', 1]
      : largest < 1e6
        ? [' KiB', 1024]
        : [' MB', 1e6]
  const whole = (metric.endsWith('Count') && values.every(Number.isInteger)) || largest / divisor >= 10_000
  const two = largest / divisor < 10 || metric.endsWith('Ratio')
  const digits = whole ? 0 : largest / divisor < 0.1 ? 4 : two ? 2 : 1
  return values.map((value) => `${(value / divisor).toFixed(digits)}${unit}`)
}

function alignColumns(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  return rows.map((row) =>
    row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
  )
}

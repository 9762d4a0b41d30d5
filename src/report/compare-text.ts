// A comparison of two measurements as text. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import type { CompareRow, Comparison } from '../measure/compare.ts'
import { formatSeconds } from './measure-text.ts'
import { textTable } from './text-table.ts'

export function compareText(comparison: Comparison, width?: number): string {
  const { rows, obstacles, unmatched } = comparison
  const lines = [`${comparison.before} -> ${comparison.after}: ${comparison.verdict}`]
  for (const obstacle of obstacles) lines.push(`no verdict: ${obstacle}`)
  const cells = rows.map((row) => [
    `${row.lane} (${row.phase})`,
    row.stage === undefined ? row.metric : `${row.stage}: ${row.metric}`,
    `${figure(row, row.before.median)} -> ${figure(row, row.after.median)}`,
    row.differenceRatio === undefined ? '' : percent(row.differenceRatio),
    intervalText(row),
    row.verdict === 'no verdict' ? `no verdict: ${row.reason}` : row.verdict,
  ])
  const titles = ['lane', 'figure', 'medians', 'difference', 'interval', 'verdict']
  if (rows.length > 0)
    lines.push(
      ...textTable(
        titles.map((title) => ({ title })),
        cells,
        width === undefined ? {} : { width },
      ),
    )
  for (const one of unmatched) lines.push(`not compared: ${one}`)
  return `${lines.join('\n')}\n`
}

function figure(row: CompareRow, value: number): string {
  return row.metric.endsWith('Ms') ? formatSeconds(value) : formatMegabytes(value)
}

function intervalText({ interval, confidence }: CompareRow): string {
  if (interval === undefined) return ''
  return `${percent(interval.lowRatio)} to ${percent(interval.highRatio)} (${(confidence * 100).toFixed(1)} %)`
}

export function percent(ratio: number): string {
  return `${ratio >= 0 ? '+' : ''}${(ratio * 100).toFixed(1)} %`
}

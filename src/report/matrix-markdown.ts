// The results of an experiment matrix as a Markdown table, including rejected variants. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import type { Judged, Matrix } from '../measure/matrix.ts'
import type { Summary } from '../measure/stats.ts'
import { percent } from './compare-text.ts'
import { cell } from './measure-markdown.ts'
import { formatSeconds, spread } from './measure-text.ts'

/** `before` is the summary of the baseline's metric over all rounds. */
export function matrixMarkdown(
  matrix: Matrix,
  judged: readonly Judged[],
  before: Summary | undefined,
): string {
  const format = matrix.metric.endsWith('Ms') ? formatSeconds : formatMegabytes
  const lines = [
    `### Experiments on ${matrix.metric}`,
    '',
    `Baseline \`${cell(matrix.baseline.command)}\`: ${before === undefined ? 'not measured' : spread(before, format)}.`,
    '',
    '| variant | changes | | difference | interval | median | wall | rounds | front |',
    '|---|---|---|---|---|---|---|---|---|',
  ]
  for (const one of judged) {
    const { row, variant } = one
    const cells = [
      cell(variant.name),
      `\`${cell(variant.change)}\``,
      one.decision === one.why ? one.decision : `${one.decision}: ${cell(one.why)}`,
      row?.differenceRatio === undefined ? '' : percent(row.differenceRatio),
      row?.interval === undefined
        ? ''
        : `${percent(row.interval.lowRatio)} to ${percent(row.interval.highRatio)}`,
      one.medianBytes === undefined ? '' : format(one.medianBytes),
      one.medianWallMs === undefined ? '' : formatSeconds(one.medianWallMs),
      String(one.rounds),
      one.isOnFront ? 'yes' : '',
    ]
    lines.push(`| ${cells.join(' | ')} |`)
  }
  lines.push('', 'Front: no other verified variant is better in both memory and wall time.')
  return `${lines.join('\n')}\n`
}

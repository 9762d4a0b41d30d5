// A measurement as one page that needs nothing else: the headline with its split, a stacked timeline by stage and by
// process, and the tables of the text report. Text of the measured program is escaped or goes in as JSON data.

import { formatMegabytes } from '../base/bytes.ts'
import type { MeasureResult, RunResult } from '../measure/result.ts'
import type { SeriesFigures } from '../measure/series-summary.ts'
import { seriesOf } from '../measure/series-summary.ts'
import { escapeText, htmlPage } from './html-page.ts'
import { PAGE_SCRIPT } from './measure-html-script.ts'
import { PAGE_STYLE } from './measure-html-style.ts'
import { formatSeconds, outcomeText, sourceText, spread, stageRows } from './measure-text.ts'

export function measureHtml(result: MeasureResult): string {
  const series = seriesOf(result)
  const drawn = series.map((one) => one.runs.find((run) => (run.timeline?.atMs.length ?? 0) > 0))
  const host = `${result.startedAt}, ${result.host.cpuModel}, ${result.host.cpus} cores, Linux ${result.host.kernel}, load ${result.loadAtStart} before the first run`
  return htmlPage({
    title: `Memory of ${result.label}`,
    style: PAGE_STYLE,
    header: `<p class="soft">${escapeText(host)}</p>${ceiling(result)}`,
    main: `<main>${series.map((one, i) => section(one, result, drawn[i], i)).join('\n')}</main>`,
    noScript: "The timelines are drawn by the page's own script; nothing is loaded from elsewhere.",
    data: drawn.map((run) => ({ timeline: run?.timeline })),
    script: PAGE_SCRIPT,
  })
}

function section(
  series: SeriesFigures,
  result: MeasureResult,
  drawn: RunResult | undefined,
  index: number,
): string {
  const { lane, phase, metrics, good, runs, wall } = series
  const command = result.lanes.find((one) => one.name === lane)!.command
  const top = runs.toSorted((a, b) => (b.peak.bytes ?? 0) - (a.peak.bytes ?? 0))[0]!
  const peak =
    metrics.peakBytes === undefined
      ? 'no output captured'
      : `peak ${spread(metrics.peakBytes, formatMegabytes)}`
  const time =
    wall === undefined ? '' : `, wall ${formatSeconds(wall.meanMs)} ± ${formatSeconds(wall.deviationMs)}`
  const failed = runs.filter((run) => !run.ok).map((run) => `run ${run.run}: ${outcomeText(run)}`)
  const notes = [...failed, ...new Set(runs.flatMap((run) => run.notes))]
  return `<section aria-labelledby="s${index}">
<h2 id="s${index}">${escapeText(command)} (${phase}, ${good.length} of ${runs.length} ok)</h2>
<p class="headline">${escapeText(`${peak}${time}`)}</p>
<p class="soft">${escapeText(`${split(top)}; ${sourceText(top.peak)}`)}</p>
${notes.map((note) => `<p class="bad">${escapeText(note)}</p>`).join('')}
${drawn === undefined ? '' : `<div data-run="${index}"></div><p class="soft">The filled areas are PSS; the line is what the cgroup is charged: page cache the run brought in is in it, file pages that were in memory before are not.</p>`}
${stageTable(series)}
${processTable(top)}
${verifyTable(top)}
</section>`
}

function split({ peak }: RunResult): string {
  if (peak.split === undefined) return 'its parts are not known'
  const { anonBytes, fileBytes, kernelBytes, currentBytes, atMs } = peak.split
  const kernel = kernelBytes === undefined ? '' : ` + kernel ${formatMegabytes(kernelBytes)}`
  return `at ${formatSeconds(atMs)}: ${formatMegabytes(currentBytes)} = anon ${formatMegabytes(anonBytes)} + file ${formatMegabytes(fileBytes)}${kernel}`
}

function stageTable({ stages }: SeriesFigures): string {
  if (stages.length < 2) return ''
  const rows = stageRows(stages, (s) => [s.drives === 0 ? '' : `drives the peak (${s.drives})`])
  return table(['stage', '#peak PSS', '#anon', '#wall', '#CPU', ''], rows)
}

function processTable(run: RunResult): string {
  const rows = run.topProcesses.map((p) => [
    String(p.pid),
    formatMegabytes(p.pssBytes),
    formatMegabytes(p.ussBytes),
    formatMegabytes(p.anonBytes),
    p.stage,
    p.command,
  ])
  return rows.length === 0
    ? ''
    : table(['#pid', '#PSS at the peak', '#USS', '#anon', 'stage', 'command'], rows)
}

function verifyTable(run: RunResult): string {
  const rows = run.verify.map((row) => [row.what, row.ok ? 'ok' : 'FAILED', row.found])
  for (const [name, bytes] of Object.entries(run.sizes)) rows.push([name, 'size', formatMegabytes(bytes)])
  return rows.length === 0 ? '' : table(['verify', '', 'found'], rows)
}

/** A title with '#' in front is a column of numbers. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const mark = (i: number): string => (titles[i]!.startsWith('#') ? ' class="number"' : '')
  const head = titles
    .map((title, i) => `<th scope="col"${mark(i)}>${escapeText(title.replace('#', ''))}</th>`)
    .join('')
  const body = rows.map(
    (row) => `<tr>${row.map((text, i) => `<td${mark(i)}>${escapeText(text)}</td>`).join('')}</tr>`,
  )
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>`
}

function ceiling({ ceiling: gate }: MeasureResult): string {
  if (gate === undefined) return ''
  const text = `Ceiling ${formatMegabytes(gate.limitBytes)} on ${gate.metric}: ${gate.broken.length === 0 ? 'kept' : `broken (${gate.broken.join('; ')})`}`
  return `<p${gate.broken.length === 0 ? '' : ' class="bad"'}>${escapeText(text)}</p>`
}

// A measurement as one self-contained page: the headline with its split, a stacked timeline by stage and by process,
// and the tables of the text report. Text of the measured program is escaped or inserted as JSON data.

import { formatMegabytes } from '../base/bytes.ts'
import type { MeasureResult, RunResult } from '../measure/result.ts'
import type { SeriesFigures } from '../measure/series-summary.ts'
import { seriesOf } from '../measure/series-summary.ts'
import { escapeText, htmlPage } from './html-page.ts'
import { PAGE_SCRIPT } from './measure-html-script.ts'
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
    noScript: 'The timelines need JavaScript; the page loads nothing from other sites.',
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
${drawn === undefined ? '' : `<div data-run="${index}"></div><p class="soft">The filled areas are PSS; the line is the memory charged to the cgroup, which includes page cache that the run read and excludes file pages that were in memory before.</p>`}
${stageTable(series)}
${processTable(top)}
${verifyTable(top)}
</section>`
}

function split({ peak }: RunResult): string {
  if (peak.split === undefined) return 'the split is unknown'
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

/** A title that begins with '#' is a column of numbers. */
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

const PAGE_STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #5c6570; --line: #d5dae0; --accent: #0b57d0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
:root { --back: #16191d; --text: #e6e9ed; --soft: #9aa4b0; --line: #343b44; --accent: #8ab4f8; --bad: #f2b8b5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem 1.5rem 3rem; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
.bad { color: var(--bad); }
.headline { font-size: 1.15rem; margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: left; overflow-wrap: anywhere; vertical-align: top; }
th { white-space: nowrap; overflow-wrap: normal; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { overflow-x: auto; }
.chart { position: relative; margin: .5rem 0; }
.chart svg { display: block; width: 100%; height: 320px; }
.chart text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.axis { stroke: var(--line); stroke-width: 1; }
.cursor { stroke: var(--text); stroke-width: 1; stroke-dasharray: 3 3; }
.current { fill: none; stroke: var(--text); stroke-width: 1.5; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 0; padding: 0; list-style: none; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .35rem; vertical-align: -1px; }
.tabs button { font: inherit; padding: .2rem .7rem; border: 1px solid var(--line); background: none; color: var(--text); cursor: pointer; }
.tabs button[aria-pressed=true] { background: var(--accent); border-color: var(--accent); color: var(--back); }
button:focus-visible, svg:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.tip { min-height: 2.8em; color: var(--soft); font-variant-numeric: tabular-nums; }
`

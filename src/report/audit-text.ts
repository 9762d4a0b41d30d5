// An audit as text for a terminal: what the floor consists of, which packages are heavy and why they are loaded, and
// which changes are proven to help. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import { chainText } from '../audit/chain.ts'
import type { Answer, AuditResult, EdgeReport, Proof, SavingReport } from '../audit/result.ts'
import { textTable } from './text-table.ts'

export interface AuditTextOptions {
  /** Columns of the terminal. @default unlimited */
  readonly width?: number
  /** Packages shown. @default 15 */
  readonly packages?: number
}

/** The report; ends with a newline. */
export function auditText(result: AuditResult, options: AuditTextOptions = {}): string {
  const sections = [
    headline(result),
    floorSection(result, options),
    packageSection(result, options),
    savingsSection(result, options),
    ...result.answers.map((a) => answerSection(a)),
    usageSection(result),
    footer(result),
  ]
  return `${sections
    .filter((s) => s.length > 0)
    .map((s) => s.join('\n'))
    .join('\n\n')}\n`
}

function headline(result: AuditResult): string[] {
  const names = result.entries.map((e) => e.name).join(', ')
  const { plain, calibratedBytes } = result.floor
  const spread = formatMegabytes(plain.anonBytes.spreadBytes)
  return [
    `${names} on Node ${result.nodeVersion}${result.cached === true ? ' (cached: nothing has changed since the last audit)' : ''}`,
    `floor ${formatMegabytes(plain.anonBytes.medianBytes)} private (Anonymous, median of ${plain.anonBytes.runs}, spread ${spread})` +
      `  USS ${formatMegabytes(plain.ussBytes.medianBytes)}  PSS ${formatMegabytes(plain.pssBytes.medianBytes)}  RSS ${formatMegabytes(plain.rssBytes.medianBytes)}`,
    `of which ${formatMegabytes(result.floor.runtimeAnonBytes)} is bare Node; imports take ${result.floor.importMs} ms; calibrated ${formatMegabytes(calibratedBytes.medianBytes)} of heap and buffers (spread ${formatMegabytes(calibratedBytes.spreadBytes)})`,
    ...(result.partial === undefined ? [] : [`INCOMPLETE: ${result.partial}`]),
    ...result.warnings.map((w) => `note: ${w}`),
  ]
}

function floorSection(result: AuditResult, options: AuditTextOptions): string[] {
  const { parts } = result
  const own = result.packages.filter((p) => !p.name.startsWith('node:'))
  const builtins = sum(result.packages.filter((p) => p.name.startsWith('node:')).map((p) => p.selfBytes))
  const packages = sum(own.map((p) => p.selfBytes))
  const lines: [string, number][] = [
    ['packages', packages],
    ['builtin modules', builtins],
    ['first-party code', parts.modulesBytes - packages - builtins],
    ['loader', parts.loaderBytes],
    ['not attributed', parts.unnamedBytes],
  ]
  const outside: [string, number][] = [
    ['V8 heap slack', parts.heapSlackBytes],
    ['V8 page pool', parts.pagePoolBytes],
    ['native malloc', parts.nativeBytes],
  ]
  const largest = Math.max(...[...lines, ...outside].map(([, bytes]) => Math.abs(bytes)), 1)
  const row = ([name, bytes]: [string, number]): string =>
    `  ${name.padEnd(18)} ${formatMegabytes(bytes).padStart(9)}  ${bar(bytes / largest, barWidth(options))}`
  return [
    `COMPOSITION (${(parts.namedShare * 100).toFixed(1)} % attributed)`,
    ...lines.map(row),
    'outside the heap floor, each measured',
    ...outside.map(row),
  ]
}

function packageSection(result: AuditResult, options: AuditTextOptions): string[] {
  const shown = result.packages.slice(0, options.packages ?? 15).filter((p) => p.retainedBytes > 0)
  if (shown.length === 0) return []
  const largest = shown[0]!.retainedBytes
  const rows = shown.map((p) => [
    p.name,
    formatMegabytes(p.retainedBytes),
    bar(p.retainedBytes / largest, 12),
    formatMegabytes(p.selfBytes),
    String(p.moduleCount),
    chainText(p.chain),
  ])
  const columns = [
    { title: 'PACKAGE' },
    { title: 'RETAINED', align: 'right' },
    { title: '', dropAt: 3 },
    { title: 'SELF', align: 'right' },
    { title: 'MODULES', align: 'right', dropAt: 2 },
    { title: 'SHORTEST CHAIN' },
  ] as const
  return textTable(columns, rows, options.width === undefined ? {} : { width: options.width })
}

function savingsSection(result: AuditResult, options: AuditTextOptions): string[] {
  const proven = result.savings.filter((s) => s.proof.kind === 'proven')
  const failed = result.savings.filter((s) => s.proof.kind === 'failed')
  if (proven.length + failed.length === 0) return []
  const savedBytes = (s: SavingReport): number => (s.proof.kind === 'proven' ? s.proof.savedBytes : 0)
  return [
    'SAVINGS OF LAZY IMPORTS (proven: the program ran without the import)',
    ...proven.toSorted((a, b) => savedBytes(b) - savedBytes(a)).flatMap((s) => savingLines(s, options)),
    ...failed.map((s) => `  not proven  ${s.edges.map(edgeText).join(', ')}: ${proofText(s.proof)}`),
  ]
}

function savingLines(saving: SavingReport, options: AuditTextOptions): string[] {
  const [first, ...more] = saving.edges
  const head = `  ${proofText(saving.proof, saving.predictedBytes).padEnd(48)} ${edgeText(first!)}`
  const shown = more.slice(0, 4).map((e) => `  ${''.padEnd(48)} ${edgeText(e)}`)
  const rest = more.length > 4 ? [`  ${''.padEnd(48)} and ${more.length - 4} more edges`] : []
  const width = options.width ?? Number.POSITIVE_INFINITY
  return [head, ...shown, ...rest].map((line) =>
    line.length > width ? `${line.slice(0, width - 1)}…` : line,
  )
}

/** `9.1 MB (predicted 9.0 MB)`; a prediction alone is never printed as a saving. */
function proofText(proof: Proof, predictedBytes?: number): string {
  const predicted = predictedBytes === undefined ? '' : ` (predicted ${formatMegabytes(predictedBytes)})`
  switch (proof.kind) {
    case 'proven':
      return `${formatMegabytes(proof.savedBytes)} proven in ${proof.runs} run${proof.runs === 1 ? '' : 's'}${predicted}`
    case 'failed':
      return proof.reason
    case 'not-run':
      return `not proven yet${predicted}`
  }
}

function edgeText(edge: EdgeReport): string {
  return `${edge.from}${edge.line === undefined ? '' : `:${edge.line}`} -> ${edge.to}`
}

function answerSection(answer: Answer): string[] {
  if (answer.kind === 'no-cut') return [`CUT ${answer.question}: none, ${answer.reason}`]
  const { saving } = answer
  const proof = proofText(saving.proof, saving.predictedBytes)
  if (answer.kind === 'what-if')
    return [
      `WHAT IF ${answer.question} were lazy: ${proof}`,
      ...(answer.stillReachedBy === undefined
        ? []
        : [`  still reached: ${chainText(answer.stillReachedBy)}`]),
    ]
  const { length } = saving.edges
  return [
    `CUT ${answer.question}: ${length} import${length === 1 ? '' : 's'} to make lazy, ${proof}`,
    ...saving.edges.map((e) => `  ${edgeText(e)}`),
    ...saving.alternatives.slice(0, 5).map((set) => `  or: ${set.map(edgeText).join(', ')}`),
    ...(answer.complete ? [] : ['  and more cuts of this size']),
  ]
}

function usageSection({ usage }: AuditResult): string[] {
  if (usage === undefined || usage.packages.length === 0) return []
  return [
    `USED BEFORE ${usage.until.toUpperCase()}`,
    ...usage.packages.map(
      (p) => `  ${p.verdict.padEnd(10)} ${p.name}${p.firstUse === undefined ? '' : `  (${p.firstUse})`}`,
    ),
  ]
}

function footer({ instrument }: AuditResult): string[] {
  return [
    `${instrument.children} children in ${(instrument.totalMs / 1000).toFixed(1)} s; the probed run took ${instrument.probedMs} ms against ${instrument.bareMs} ms bare and held ${formatMegabytes(instrument.probedBytes)} more`,
  ]
}

function barWidth(options: AuditTextOptions): number {
  return Math.max(5, Math.min(40, (options.width ?? 80) - 34))
}

function bar(share: number, width: number): string {
  const eighths = Math.round(Math.max(0, Math.min(1, share)) * width * 8)
  const rest = eighths % 8
  return '█'.repeat(Math.floor(eighths / 8)) + (rest === 0 ? '' : '▏▎▍▌▋▊▉'[rest - 1]!)
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0)
}

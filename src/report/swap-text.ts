// The output of `byre swap`: the plan, and the figures before and after. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import type { Projection } from '../systemd/projection.ts'
import type { SwapOutcome } from '../systemd/swap.ts'
import type { SideFigures } from '../systemd/swap-journal.ts'
import type { SwapPlan } from '../systemd/swap-plan.ts'
import { textTable } from './text-table.ts'

/** Memory saved by a swap; negative when the new side uses more. */
export interface Saved {
  readonly pssBytes: number
  /** Percentage of the PSS before; absent when nothing ran before. */
  readonly pssPercent?: number
}

/** Returns undefined when the memory of one side could not be read. */
export function savedBy(before: SideFigures, after: SideFigures): Saved | undefined {
  if (before.pssBytes === undefined || after.pssBytes === undefined) return undefined
  const pssBytes = before.pssBytes - after.pssBytes
  if (before.pssBytes === 0) return { pssBytes }
  return { pssBytes, pssPercent: Math.round((pssBytes / before.pssBytes) * 1000) / 10 }
}

export type Projected = Projection | { readonly unavailable: string }

export function planText(what: string, plan: SwapPlan & { readonly projected?: Projected }): string {
  const units = [...plan.other, ...plan.target].map(({ unit, active, enabled, masked, restarts }) => [
    unit,
    active,
    masked ? 'masked' : enabled ? 'enabled' : '',
    String(restarts),
  ])
  const columns = [{ title: 'unit' }, { title: 'now' }, { title: 'at boot' }, { title: 'restarts' }]
  return [
    `plan for the ${what} (${side(plan.before)} running now):`,
    ...plan.steps.map((step, i) => `  ${i + 1}. ${step}`),
    ...textTable(columns, units, { indent: '  ' }),
    ...(plan.projected === undefined ? [] : [`  projected: ${projectedText(plan.before, plan.projected)}`]),
    '',
  ].join('\n')
}

function projectedText(before: SideFigures, projected: Projected): string {
  if ('unavailable' in projected) return `unknown: ${projected.unavailable}`
  const { pssBytes, modules } = projected
  const saved = savedBy(before, { ...before, pssBytes })
  const less = saved === undefined ? '' : `, ${differenceText(saved)}`
  return `${formatMegabytes(pssBytes)} of PSS with the ${modules} module${modules === 1 ? '' : 's'} of its workers loaded into one process${less}; memory they use while they run is not included`
}

export function outcomeText(what: string, outcome: SwapOutcome): string {
  const { before } = outcome
  if (outcome.kind === 'already') return `${what}: nothing to do, this side runs already (${side(before)})\n`
  if (outcome.kind === 'rolled-back')
    return `${what}: rolled back, ${before.units} unit${before.units === 1 ? '' : 's'} as before: ${outcome.why}\n`
  const saved = savedBy(before, outcome.after)
  const columns = [
    { title: '' },
    { title: 'units', align: 'right' },
    { title: 'processes', align: 'right' },
    { title: 'PSS', align: 'right' },
    { title: 'Anonymous', align: 'right' },
    { title: 'restarts', align: 'right' },
    { title: 'up' },
  ] as const
  const row = (title: string, figures: SideFigures): string[] => [
    title,
    String(figures.units),
    String(figures.processes),
    bytes(figures.pssBytes),
    bytes(figures.anonBytes),
    String(figures.restarts),
    `${Math.round(figures.upMs / 1000)} s`,
  ]
  return [
    `${what}: done`,
    ...textTable(columns, [row('before', before), row('after', outcome.after)], { indent: '  ' }),
    `  ${saved === undefined ? 'the saving is unknown: the memory of some processes could not be read' : savedText(saved)}`,
    '',
  ].join('\n')
}

function savedText(saved: Saved): string {
  const { pssBytes, pssPercent } = saved
  if (pssBytes < 0) return `saved nothing: ${differenceText(saved)}`
  return `saved ${formatMegabytes(pssBytes)} of PSS${pssPercent === undefined ? '' : ` (${pssPercent} %)`}`
}

/** The supervisor itself uses some megabytes: for few or very small programs that can be more than they used. */
function differenceText({ pssBytes, pssPercent }: Saved): string {
  if (pssBytes < 0) return `${formatMegabytes(-pssBytes)} of PSS more`
  return `${formatMegabytes(pssBytes)}${pssPercent === undefined ? '' : ` (${pssPercent} %)`} less`
}

function bytes(value: number | undefined): string {
  return value === undefined ? '?' : formatMegabytes(value)
}

function side({ units, pssBytes }: SideFigures): string {
  const memory =
    pssBytes === undefined ? ' (only root may read their memory)' : ` of ${formatMegabytes(pssBytes)} PSS`
  return `${units} unit${units === 1 ? '' : 's'}${memory}`
}

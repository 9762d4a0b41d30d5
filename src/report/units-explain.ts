// The output of `byre units --explain`: the permissions of each group's unit, the workers that need them, and what a
// split would remove. Pure.

import type { ResolvedHerd } from '../config/types.ts'
import { grantsOf, proposeSplits } from '../systemd/grants.ts'
import type { Grant } from '../systemd/grants.ts'
import { groupUnit } from '../systemd/unit-names.ts'
import { textTable } from './text-table.ts'

/** Maximum number of names in one cell; the rest is given as a count. */
const NAMES_MAX = 6

export function explainUnits(herd: ResolvedHerd, options: { readonly width?: number } = {}): string {
  const groups = [...new Set(herd.workers.map(({ group }) => group))]
  return groups.map((group) => explainGroup(herd, group, options)).join('\n')
}

function explainGroup(herd: ResolvedHerd, group: string, options: { readonly width?: number }): string {
  const workers = herd.workers.filter((worker) => worker.group === group)
  const grants = grantsOf(herd, workers)
  const alone = workers.length === 1
  const because = ({ by }: Grant): string =>
    `${by.length === 1 && !alone ? 'only because of' : 'because of'} ${names(by)}`
  const rows = [
    ...(grants.networkBy.length === 0 ? [['network none', 'no worker needs more']] : []),
    ...grants.networkBy.map((grant) => [`network ${grant.value}`, because(grant)]),
    ...grants.groups.map((grant) => [`${grant.value} group`, because(grant)]),
    ...grants.capabilities.map((grant) => [grant.value, because(grant)]),
    ...grants.paths.map((grant) => [`write to ${grant.value}`, because(grant)]),
  ]
  const lines = [
    `${groupUnit(herd.name, group)}: ${workers.length} worker${alone ? '' : 's'}`,
    ...textTable([{ title: 'allows' }, { title: 'why' }], rows, { ...options, indent: '  ' }),
    ...proposeSplits(herd, workers).map(
      ({ worker, removes }) =>
        `  split: a separate group for ${worker} would remove from the other ${workers.length - 1}: ${removes.join(', ')}`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

function names(by: readonly string[]): string {
  return by.length <= NAMES_MAX
    ? by.join(', ')
    : `${by.slice(0, NAMES_MAX).join(', ')} and ${by.length - NAMES_MAX} more`
}

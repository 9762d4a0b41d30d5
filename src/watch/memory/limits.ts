// What the groups of one process may use. Pure.

import type { ResolvedHerd } from '../../config/types.ts'

export interface GroupLimits {
  readonly groups: readonly string[]
  /** Over this memory is asked back. */
  readonly highBytes: number
  readonly maxBytes?: number
}

/** Without a `memoryHigh` memory is asked back at this share of `memoryMax`. */
const HIGH_SHARE = 0.9

/**
 * Of several groups in one process the sum, since what each of them uses of the shared loop cannot be told apart.
 * Undefined: no group has a limit. A text: why there is none all the same.
 */
export function limitsOf(
  herd: Pick<ResolvedHerd, 'groups'>,
  hosted: Iterable<string>,
): GroupLimits | string | undefined {
  const groups = [...new Set(hosted)].toSorted()
  const limits = groups.map((group) => herd.groups[group] ?? {})
  const highs = limits.map(({ memoryHighBytes, memoryMaxBytes }) =>
    memoryHighBytes === undefined && memoryMaxBytes !== undefined
      ? Math.floor(memoryMaxBytes * HIGH_SHARE)
      : memoryHighBytes,
  )
  const without = groups.filter((_, i) => highs[i] === undefined)
  if (without.length === groups.length) return undefined
  if (without.length > 0)
    return `its groups share one process, and ${without.map((group) => `'${group}'`).join(', ')} has neither memoryHigh nor memoryMax`
  const maxes = limits.map(({ memoryMaxBytes }) => memoryMaxBytes)
  const highBytes = sum(highs)
  return maxes.includes(undefined) ? { groups, highBytes } : { groups, highBytes, maxBytes: sum(maxes) }
}

function sum(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0)
}

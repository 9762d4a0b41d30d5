// The memory limits of the groups in one process, and how much memory they use: what the kernel charges to their cgroup when
// that cgroup carries the limits of the groups and so contains nothing else; otherwise the PSS of the supervisor and its
// descendants.

import type { ResolvedHerd } from '../../config/types.ts'
import { readTreeMemory } from '../../measure/tree-memory.ts'
import { readCgroupLimit, readCgroupUsage } from '../../procfs/cgroup-memory.ts'
import { findMemoryCgroup } from '../../procfs/memory-controller.ts'
import type { CgroupLocation } from '../../procfs/memory-controller.ts'
import { PROC_ROOT } from '../../procfs/read.ts'

export interface GroupLimits {
  readonly groups: readonly string[]
  /** Memory is reclaimed above this. */
  readonly highBytes: number
  readonly maxBytes?: number
}

/** Default of `memoryHigh`, as a share of `memoryMax`. */
const HIGH_SHARE = 0.9

/**
 * Several groups in one process have the sum of their limits, since their shares of the shared loop cannot be distinguished.
 * Returns undefined if no group has a limit, and a string with the reason if the limits cannot be applied.
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

export interface Usage {
  readonly usedBytes: number
  /** Since the last reading the kernel throttled the cgroup at memory.high, and a process waited for memory. */
  readonly pressed: boolean
}

export interface UsageReader {
  readonly source: 'cgroup-v1' | 'cgroup-v2' | 'pss'
  /** A string: the reason why there is no reading. */
  read(): Usage | string
}

/** Less waiting for memory than this, percent of 10 s, is normal turnover of the page cache. */
const PRESSED_PERCENT = 1
/** The kernel rounds limits down to pages, of at most 64 KiB. */
const PAGE_MAX_BYTES = 65_536
/** The child cgroup into which the supervisor moves itself to divide its cgroup. */
const LEAF = '/byre-supervisor'

export function openUsage(limits: GroupLimits, root: string = PROC_ROOT): UsageReader {
  const cgroup = groupCgroup(limits, root)
  return cgroup === undefined ? pssReader(root) : cgroupReader(cgroup)
}

/** The unit's cgroup, if it has the limits of the group. */
function groupCgroup({ highBytes, maxBytes }: GroupLimits, root: string): CgroupLocation | undefined {
  const own = findMemoryCgroup('self', root)
  if (!own.ok) return undefined
  const { folder } = own.value
  const cgroup = { ...own.value, folder: folder.endsWith(LEAF) ? folder.slice(0, -LEAF.length) : folder }
  const carries =
    isLimit(readCgroupLimit(cgroup, 'max'), maxBytes) || isLimit(readCgroupLimit(cgroup, 'high'), highBytes)
  return carries ? cgroup : undefined
}

function isLimit(setBytes: number | undefined, wantedBytes: number | undefined): boolean {
  if (setBytes === undefined || wantedBytes === undefined) return false
  return setBytes <= wantedBytes && wantedBytes - setBytes < PAGE_MAX_BYTES
}

function cgroupReader(cgroup: CgroupLocation): UsageReader {
  let lastHighEvents = 0
  return {
    source: `cgroup-v${cgroup.version}`,
    read() {
      const usage = readCgroupUsage(cgroup)
      if (!usage.ok) return `${usage.path} is ${usage.reason}`
      const { workingSetBytes, highEvents = 0, pressurePercent = 0 } = usage.value
      const pressed = highEvents > lastHighEvents && pressurePercent >= PRESSED_PERCENT
      lastHighEvents = highEvents
      return { usedBytes: workingSetBytes, pressed }
    },
  }
}

function pssReader(root: string): UsageReader {
  return {
    source: 'pss',
    read() {
      const { count, pssBytes } = readTreeMemory(process.pid, {}, root)
      return count === 0
        ? `${root}/self/smaps_rollup cannot be read`
        : { usedBytes: pssBytes, pressed: false }
    },
  }
}

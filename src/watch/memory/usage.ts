// How much a group uses: what the kernel charges to its cgroup where that carries the group's limits, so that nobody
// else is in it; else the PSS of the supervisor and of what it started.

import { readTreeMemory } from '../../measure/tree-memory.ts'
import { readCgroupLimit, readCgroupUsage } from '../../procfs/cgroup-memory.ts'
import { findMemoryCgroup } from '../../procfs/memory-controller.ts'
import type { CgroupLocation } from '../../procfs/memory-controller.ts'
import { PROC_ROOT } from '../../procfs/read.ts'
import type { GroupLimits } from './limits.ts'

export interface Usage {
  readonly usedBytes: number
  /** The kernel held it at memory.high since the last reading, and somebody waited. */
  readonly pressed: boolean
}

export interface UsageReader {
  readonly source: 'cgroup-v1' | 'cgroup-v2' | 'pss'
  /** A text: why there is none now. */
  read(): Usage | string
}

/** Waiting for memory less than this, percent of 10 s, is page cache being turned over. */
const PRESSED_PERCENT = 1
/** The kernel rounds limits down to pages, of 64 KiB at most. */
const PAGE_MAX_BYTES = 65_536
/** Where the supervisor moves itself to divide its cgroup. */
const LEAF = '/byre-supervisor'

export function openUsage(limits: GroupLimits, root: string = PROC_ROOT): UsageReader {
  const cgroup = groupCgroup(limits, root)
  return cgroup === undefined ? pssReader(root) : cgroupReader(cgroup)
}

/** The cgroup of the unit, if it has the limits of the group. */
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
  let held = 0
  return {
    source: `cgroup-v${cgroup.version}`,
    read() {
      const usage = readCgroupUsage(cgroup)
      if (!usage.ok) return `${usage.path} is ${usage.reason}`
      const { workingSetBytes, highEvents = 0, pressurePercent = 0 } = usage.value
      const pressed = highEvents > held && pressurePercent >= PRESSED_PERCENT
      held = highEvents
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

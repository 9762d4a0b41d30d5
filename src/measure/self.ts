// The memory of this process, for status and load records. Imports two small parsers and nothing else: it runs inside
// the supervisor, whose own floor is budgeted.

import { PROC_ROOT } from '../procfs/read.ts'
import { readSmapsRollup } from '../procfs/smaps-rollup.ts'

export interface SelfMemory {
  readonly rssBytes: number
  readonly heapUsedBytes: number
  readonly pssBytes?: number
  readonly ussBytes?: number
  readonly anonBytes?: number
  /** Metric name -> why it is absent. */
  readonly unavailable?: Readonly<Record<string, string>>
}

const REASONS = {
  gone: 'the kernel shows no memory map of this process',
  denied: 'the kernel refuses to show the memory map of this process',
  unsupported: 'this kernel has no smaps_rollup (Linux 4.14), or /proc is not mounted',
  malformed: 'smaps_rollup has a form byre does not know',
} as const

/** 0.5-1.3 ms: the kernel walks the page tables. For a status request, not for every load; selfRssBytes is cheap. */
export function readSelfMemory(root: string = PROC_ROOT): SelfMemory {
  const { rss, heapUsed } = process.memoryUsage()
  const base = { rssBytes: rss, heapUsedBytes: heapUsed }
  const rollup = readSmapsRollup('self', root)
  if (!rollup.ok) {
    const reason = REASONS[rollup.reason]
    return { ...base, unavailable: { pssBytes: reason, ussBytes: reason, anonBytes: reason } }
  }
  // RSS from the same reading as its parts, so that they add up.
  const { rssBytes, pssBytes, ussBytes, anonBytes } = rollup.value
  return { ...base, rssBytes, pssBytes, ussBytes, anonBytes }
}

/** Resident memory in 5-10 us; exact to some 64 pages a thread. */
export function selfRssBytes(): number {
  return process.memoryUsage.rss()
}

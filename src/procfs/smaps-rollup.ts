// /proc/<pid>/smaps_rollup: the memory of one process, summed over its mappings by the kernel (since 4.14).

import { bytesField, parseFields } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface SmapsRollup {
  /** Resident set size: counts shared pages in full in every process that maps them. */
  readonly rssBytes: number
  /** Proportional set size: divides each shared page by the number of its mappings, so that processes can be summed. */
  readonly pssBytes: number
  /** Unique set size, Private_Clean + Private_Dirty. Drops by 30 MB when a second process runs the same node binary. */
  readonly ussBytes: number
  /** Resident pages without a file (heap, stacks, JIT code, modified private file pages). byre's measure of private memory. */
  readonly anonBytes: number
}

/** Returns undefined unless Rss, Pss, Private_Clean, Private_Dirty and Anonymous are all present. */
export function parseSmapsRollup(text: string): SmapsRollup | undefined {
  const fields = parseFields(text)
  const [rss, pss, clean, dirty, anon] = [
    bytesField(fields, 'Rss'),
    bytesField(fields, 'Pss'),
    bytesField(fields, 'Private_Clean'),
    bytesField(fields, 'Private_Dirty'),
    bytesField(fields, 'Anonymous'),
  ]
  if (rss === undefined || pss === undefined || clean === undefined || dirty === undefined) return undefined
  if (anon === undefined) return undefined
  return { rssBytes: rss, pssBytes: pss, ussBytes: clean + dirty, anonBytes: anon }
}

/** Takes 0.5-1.3 ms for a node process: the kernel walks its page tables. `gone` for zombies and kernel threads. */
export function readSmapsRollup(pid: Pid, root: string = PROC_ROOT): ProcResult<SmapsRollup> {
  return readProc(pid, 'smaps_rollup', parseSmapsRollup, root)
}

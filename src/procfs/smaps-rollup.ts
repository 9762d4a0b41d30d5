// /proc/<pid>/smaps_rollup: the memory of one process, summed over its mappings by the kernel (since 4.14).

import { bytesField, parseFields } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface SmapsRollup {
  /** Resident: shared pages counted in full in every process that maps them. */
  readonly rssBytes: number
  /** Proportional: each shared page divided by the number of its mappings. Sums up over processes. */
  readonly pssBytes: number
  /** Unique: Private_Clean + Private_Dirty. Moves by 30 MB with any second process on the same node binary. */
  readonly ussBytes: number
  readonly privateCleanBytes: number
  readonly privateDirtyBytes: number
  /** Resident pages of no file (heap, stacks, JIT code, written private file pages): byre's gate for private memory. */
  readonly anonBytes: number
  /** Anonymous memory in swap, this process's share. Absent before Linux 4.3. */
  readonly swapPssBytes?: number
}

/** Undefined unless all of Rss, Pss, Private_Clean, Private_Dirty and Anonymous are there. */
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
  const swapPss = bytesField(fields, 'SwapPss')
  return {
    rssBytes: rss,
    pssBytes: pss,
    ussBytes: clean + dirty,
    privateCleanBytes: clean,
    privateDirtyBytes: dirty,
    anonBytes: anon,
    ...(swapPss === undefined ? {} : { swapPssBytes: swapPss }),
  }
}

/** Takes 0.5-1.3 ms for a node process: the kernel walks every page table. Zombies and kernel threads read as `gone`. */
export function readSmapsRollup(pid: Pid, root: string = PROC_ROOT): ProcResult<SmapsRollup> {
  return readProc(pid, 'smaps_rollup', parseSmapsRollup, root)
}

// /proc/<pid>/status and /proc/<pid>/task/<tid>/status: context switches, threads and a cheap memory line.

import { bytesField, integerField, parseFields, parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface ProcStatus {
  /** Real and effective user. */
  readonly uid: number
  readonly effectiveUid: number
  readonly threads: number
  /** Of the one task whose file was read: sum over `task/` for a process. Voluntary means it slept. */
  readonly voluntarySwitches: number
  readonly involuntarySwitches: number
  /** Absent for zombies and kernel threads, which hold no memory. Approximate (per-thread counters, up to 64 pages a thread off). */
  readonly rssBytes?: number
  /** The anonymous, file and shared memory parts of rssBytes, since Linux 4.5. */
  readonly rssAnonBytes?: number
  readonly rssFileBytes?: number
  readonly rssShmemBytes?: number
  /** The highest rssBytes so far. */
  readonly peakRssBytes?: number
  readonly swapBytes?: number
}

/** Undefined unless Uid, Threads and both switch counts are there. */
export function parseStatus(text: string): ProcStatus | undefined {
  const fields = parseFields(text)
  const [real, effective] = (fields.get('Uid') ?? '').split(/\s+/)
  const uid = parseInteger(real ?? '')
  const effectiveUid = parseInteger(effective ?? '')
  const threads = integerField(fields, 'Threads')
  const voluntarySwitches = integerField(fields, 'voluntary_ctxt_switches')
  const involuntarySwitches = integerField(fields, 'nonvoluntary_ctxt_switches')
  if (uid === undefined || effectiveUid === undefined || threads === undefined) return undefined
  if (voluntarySwitches === undefined || involuntarySwitches === undefined) return undefined
  return { uid, effectiveUid, threads, voluntarySwitches, involuntarySwitches, ...memory(fields) }
}

const MEMORY_KEYS = {
  rssBytes: 'VmRSS',
  rssAnonBytes: 'RssAnon',
  rssFileBytes: 'RssFile',
  rssShmemBytes: 'RssShmem',
  peakRssBytes: 'VmHWM',
  swapBytes: 'VmSwap',
} as const

function memory(fields: ReadonlyMap<string, string>): Partial<Record<keyof typeof MEMORY_KEYS, number>> {
  const found: Partial<Record<keyof typeof MEMORY_KEYS, number>> = {}
  for (const [name, key] of Object.entries(MEMORY_KEYS)) {
    const bytes = bytesField(fields, key)
    if (bytes !== undefined) found[name as keyof typeof MEMORY_KEYS] = bytes
  }
  return found
}

export function readStatus(pid: Pid, root: string = PROC_ROOT): ProcResult<ProcStatus> {
  return readProc(pid, 'status', parseStatus, root)
}

/** The same of one thread. */
export function readTaskStatus(pid: Pid, tid: number, root: string = PROC_ROOT): ProcResult<ProcStatus> {
  return readProc(pid, `task/${tid}/status`, parseStatus, root)
}

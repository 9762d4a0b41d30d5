// /proc/<pid>/statm: the cheapest memory reading there is (2-4 us over an open descriptor), in pages.

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface Statm {
  readonly sizeBytes: number
  /** Approximate, as VmRSS is. */
  readonly rssBytes: number
  /** Resident file and shared memory pages; rssBytes - sharedBytes is about the anonymous part. */
  readonly sharedBytes: number
}

/** `pageSizeBytes` from auxv.ts. Undefined unless the first three numbers are there. */
export function parseStatm(text: string, pageSizeBytes: number): Statm | undefined {
  const [size, rss, shared] = text.trim().split(/\s+/).map(parseInteger)
  if (size === undefined || rss === undefined || shared === undefined) return undefined
  return {
    sizeBytes: size * pageSizeBytes,
    rssBytes: rss * pageSizeBytes,
    sharedBytes: shared * pageSizeBytes,
  }
}

export function readStatm(pid: Pid, pageSizeBytes: number, root: string = PROC_ROOT): ProcResult<Statm> {
  return readProc(pid, 'statm', (text) => parseStatm(text, pageSizeBytes), root)
}

// /proc/<pid>/statm: memory of a process in pages, the cheapest memory file to read (2-4 us).

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface Statm {
  readonly sizeBytes: number
  /** Approximate: the kernel keeps per-thread counters that may lag by up to 64 pages a thread. */
  readonly rssBytes: number
}

/** `pageSizeBytes` is that of auxv.ts. Undefined unless the text starts with two numbers. */
export function parseStatm(text: string, pageSizeBytes: number): Statm | undefined {
  const [size, rss] = text.trim().split(/\s+/).map(parseInteger)
  if (size === undefined || rss === undefined) return undefined
  return { sizeBytes: size * pageSizeBytes, rssBytes: rss * pageSizeBytes }
}

export function readStatm(pid: Pid, pageSizeBytes: number, root: string = PROC_ROOT): ProcResult<Statm> {
  return readProc(pid, 'statm', (text) => parseStatm(text, pageSizeBytes), root)
}

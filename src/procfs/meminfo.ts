// /proc/meminfo: the memory of the machine.

import { bytesField, parseFields } from './fields.ts'
import type { ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface Meminfo {
  readonly totalBytes: number
  readonly freeBytes: number
  /** The kernel's estimate of what a new program can have without swapping. */
  readonly availableBytes: number
  readonly swapTotalBytes: number
  readonly swapFreeBytes: number
}

/** Undefined unless MemTotal, MemFree and MemAvailable (Linux 3.14) are there. No swap lines means no swap. */
export function parseMeminfo(text: string): Meminfo | undefined {
  const fields = parseFields(text)
  const totalBytes = bytesField(fields, 'MemTotal')
  const freeBytes = bytesField(fields, 'MemFree')
  const availableBytes = bytesField(fields, 'MemAvailable')
  if (totalBytes === undefined || freeBytes === undefined || availableBytes === undefined) return undefined
  const swapTotalBytes = bytesField(fields, 'SwapTotal') ?? 0
  const swapFreeBytes = bytesField(fields, 'SwapFree') ?? 0
  return { totalBytes, freeBytes, availableBytes, swapTotalBytes, swapFreeBytes }
}

export function readMeminfo(root: string = PROC_ROOT): ProcResult<Meminfo> {
  return readProc(undefined, 'meminfo', parseMeminfo, root)
}

// Memory of the current process: kernel and V8 figures of one moment, read without leaving objects on the heap.

import { closeSync, openSync, readSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import type { Snapshot } from './job.ts'

const SMAPS_BYTES = 1 << 20
let buffer: Buffer | undefined

/** Takes a snapshot. Call it once before the first measurement, because the first call loads what it needs. The V8
 *  figures are read first, and the kernel's text is read as bytes: a string or a RegExp would be part of the next
 *  figure. */
export function takeSnapshot(): Snapshot {
  const heap = getHeapStatistics()
  const rollup = readBytes('/proc/self/smaps_rollup')
  const figures = {
    rssBytes: field(rollup, 'Rss:', 0),
    pssBytes: field(rollup, 'Pss:', 0),
    ussBytes: field(rollup, 'Private_Clean:', 0) + field(rollup, 'Private_Dirty:', 0),
    anonBytes: field(rollup, 'Anonymous:', 0),
  }
  const smaps = readBytes('/proc/self/smaps')
  const brk = smaps.indexOf('[heap]')
  return {
    ...figures,
    brkBytes: brk === -1 ? 0 : field(smaps, 'Anonymous:', brk),
    usedHeapBytes: heap.used_heap_size,
    externalBytes: heap.external_memory,
    physicalHeapBytes: heap.total_physical_size,
    mallocedBytes: heap.malloced_memory,
  }
}

/** The smallest of four snapshots, each after a last-resort collection. On Node 20 one snapshot in ten is 128 KiB
 *  too high: the heap counts a linear allocation area that happens to be open. */
export function takeCollectedSnapshot(): Snapshot {
  let best: Snapshot | undefined
  for (let i = 0; i < 4; i++) {
    runLastResortGc()
    const now = takeSnapshot()
    if (best === undefined || sizeOf(now) < sizeOf(best)) best = now
  }
  return best!
}

function sizeOf(snapshot: Snapshot): number {
  return snapshot.usedHeapBytes + snapshot.externalBytes
}

/** Collects all garbage: a last-resort collection on Node 22 and later, which also releases V8's pool of empty
 *  pages; four plain ones on Node 20. Needs --expose-gc. */
export function runLastResortGc(): void {
  const gc = globalThis.gc as undefined | ((options?: object) => void)
  if (gc === undefined) return
  if (Number.parseInt(process.versions.node, 10) >= 22)
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  else for (let i = 0; i < 4; i++) gc()
}

/** Monotonic milliseconds. The global `performance` is loaded on first use, which costs 160 KiB (Node 24). */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

/** Collects the young generation (1 ms, where a full collection takes 15 to 50 ms). Needs --expose-gc. */
export function runMinorGc(): void {
  const gc = globalThis.gc as undefined | ((options?: object) => void)
  gc?.(YOUNG)
}
const YOUNG = { type: 'minor' } as const

export function runMajorGc(): void {
  const gc = globalThis.gc as undefined | (() => void)
  gc?.()
}

function readBytes(path: string): Buffer {
  buffer ??= Buffer.alloc(SMAPS_BYTES).fill(1)
  const fd = openSync(path, 'r')
  let length = 0
  // One read() of a procfs file returns at most one page.
  for (;;) {
    const n = readSync(fd, buffer, length, SMAPS_BYTES - length, null)
    length += n
    if (n === 0 || length === SMAPS_BYTES) break
  }
  closeSync(fd)
  return buffer.subarray(0, length)
}

/** Value of the first `<name>   <n> kB` after `from`, in bytes; NaN when there is none. */
function field(text: Buffer, name: string, from: number): number {
  let at = text.indexOf(name, from)
  if (at === -1) return Number.NaN
  at += name.length
  while (text[at] === 32) at++
  let kib = 0
  for (; text[at]! >= 48 && text[at]! <= 57; at++) kib = kib * 10 + text[at]! - 48
  return kib * 1024
}

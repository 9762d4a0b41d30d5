// Writes the trace: fixed buffers outside the heap, flushed to two files, so that the instrument keeps no memory per
// module. A name is written each time it occurs, and its number is the number of the occurrence; the reader removes
// duplicates.

import { closeSync, openSync, writeSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import type { V8Binding } from './internals.ts'
import { EVENT, type ProbeJob } from './job.ts'
import { runMajorGc, runLastResortGc, runMinorGc, monotonicMs } from './snapshot.ts'

const RECORDS = 8192
const NAME_BYTES = 1 << 18
const NAME_SLACK = 1 << 15

export interface Recorder {
  /** Writes a name and returns its number. */
  name(text: string): number
  /** Records an event: the bytes allocated since the previous one belong to its owner. `force` collects
   *  unconditionally. */
  mark(type: number, name: number, force?: boolean): void
  /** Writes a record without a measurement. */
  record(type: number, a: number, b: number, c: number): void
  /** Discards everything recorded so far: the program starts here. */
  restart(): void
  /** Takes a last forced sample; nothing is measured after it. */
  stop(): void
  close(): void
  /** True while the loader is being warmed up; nothing is measured yet. */
  readonly isWarmingUp: boolean
  readonly collections: number
  readonly collectionsMs: number
}

export function createRecorder(job: ProbeJob, v8: V8Binding): Recorder {
  const eventsFd = openSync(job.eventsPath, 'w')
  const namesFd = openSync(job.namesPath, 'w')
  const events = new Float64Array(RECORDS * 4).fill(1)
  const eventBytes = new Uint8Array(events.buffer)
  const names = Buffer.alloc(NAME_BYTES).fill(1)
  const bytesNow = heapReader(v8)
  const collect = job.collection === 'last-resort' ? runLastResortGc : runMajorGc
  const counts = { collections: 0, collectionsMs: 0 }
  let used = 0
  let nameCount = 0
  let nameLength = 0
  let last = 0
  let lastCollected = 0
  let stopped = false
  // The warm-up is not sampled: that would cause hundreds of useless collections.
  let warmingUp = true
  let collecting = false

  const flushEvents = (): void => {
    writeSync(eventsFd, eventBytes, 0, used * 8)
    used = 0
  }
  const flushNames = (): void => {
    writeSync(namesFd, names, 0, nameLength)
    nameLength = 0
  }
  const put = (a: number, b: number, c: number, d: number): void => {
    if (used === events.length) flushEvents()
    events[used] = a
    events[used + 1] = b
    events[used + 2] = c
    events[used + 3] = d
    used += 4
  }
  return {
    name(text) {
      if (nameLength > NAME_BYTES - NAME_SLACK) flushNames()
      // A newline ends a name. A very long specifier, such as a data: URL, is truncated.
      const length = Math.min(text.length, NAME_SLACK / 4)
      nameLength += names.write(length === text.length ? text : text.slice(0, length), nameLength)
      names[nameLength++] = 10
      return nameCount++
    },
    mark(type, name, force = false) {
      if (stopped || collecting) return
      let raw = bytesNow()
      let collected = -1
      if (!warmingUp && (force || Math.abs(raw - last) >= job.thresholdBytes)) {
        collecting = true
        const startedAt = monotonicMs()
        if (!force) {
          // Most of the change is garbage of compilation: a major collection runs only when the surviving bytes have
          // changed enough.
          runMinorGc()
          last = bytesNow()
          put(EVENT.minorGc, -1, raw, last)
          raw = last
        }
        if (force || Math.abs(raw - lastCollected) >= job.thresholdBytes) {
          collect()
          counts.collections++
          last = lastCollected = collected = bytesNow()
        }
        counts.collectionsMs += monotonicMs() - startedAt
        collecting = false
      }
      put(type, name, raw, collected)
    },
    record(type, a, b, c) {
      if (!stopped) put(type, a, b, c)
    },
    restart() {
      warmingUp = false
      counts.collections = counts.collectionsMs = 0
      put(0, 0, 0, 0)
      this.mark(EVENT.sample, -1, true)
    },
    stop() {
      this.mark(EVENT.sample, -1, true)
      stopped = true
    },
    close() {
      stopped = true
      flushEvents()
      flushNames()
      closeSync(eventsFd)
      closeSync(namesFd)
    },
    get isWarmingUp() {
      return warmingUp
    },
    get collections() {
      return counts.collections
    },
    get collectionsMs() {
      return counts.collectionsMs
    },
  }
}

/** Used heap + external memory. getHeapStatistics() creates an object of 14 numbers per call, garbage that would be
 *  charged to the program; reading V8's statistics buffer directly allocates nothing. */
function heapReader(binding: V8Binding): () => number {
  const direct = directReader(binding)
  if (direct !== undefined) return direct
  return () => {
    const heap = getHeapStatistics()
    return heap.used_heap_size + heap.external_memory
  }
}

function directReader(binding: V8Binding): (() => number) | undefined {
  const buffer = binding.heapStatisticsBuffer
  const update = binding.updateHeapStatisticsBuffer
  const [usedAt, externalAt] = [binding.kUsedHeapSizeIndex, binding.kExternalMemoryIndex]
  if (buffer === undefined || update === undefined || usedAt === undefined || externalAt === undefined)
    return undefined
  return () => {
    update()
    return buffer[usedAt]! + buffer[externalAt]!
  }
}

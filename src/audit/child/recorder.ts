// The trace as it grows: fixed buffers outside the heap, flushed to two files, so that the instrument keeps nothing per
// module. A name is written each time it occurs and its number is the number of the occurrence; the reader interns.

import { closeSync, openSync, writeSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import type { V8Binding } from './internals.ts'
import { EVENT, type ProbeJob } from './job.ts'
import { collectPlainly, collectStrongly, collectYoung, monotonicMs } from './snapshot.ts'

const RECORDS = 8192
const NAME_BYTES = 1 << 18
const NAME_SLACK = 1 << 15

export interface Recorder {
  /** Writes a name, gives its number. */
  name(text: string): number
  /** An event that ends the owner of the bytes allocated since the last one. `force` collects whatever moved. */
  mark(type: number, name: number, force?: boolean): void
  /** A record that measures nothing. */
  note(type: number, a: number, b: number, c: number): void
  /** Forgets all that was recorded: what follows is the program. */
  restart(): void
  /** A last forced sample; nothing is measured after it. */
  stop(): void
  close(): void
  /** Nothing is measured yet: the loader is being warmed up. */
  readonly isQuiet: boolean
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
  const collect = job.collection === 'strong' ? collectStrongly : collectPlainly
  const counts = { collections: 0, collectionsMs: 0 }
  let used = 0
  let nameCount = 0
  let nameLength = 0
  let last = 0
  let lastSettled = 0
  let stopped = false
  // Warming the loader up is not sampled: hundreds of collections that nobody reads.
  let quiet = true
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
      // Newlines end a name; a specifier that holds one (or is absurdly long, such as a data: URL) is cut.
      const length = Math.min(text.length, NAME_SLACK / 4)
      nameLength += names.write(length === text.length ? text : text.slice(0, length), nameLength)
      names[nameLength++] = 10
      return nameCount++
    },
    mark(type, name, force = false) {
      if (stopped || collecting) return
      let raw = bytesNow()
      let settled = -1
      if (!quiet && (force || Math.abs(raw - last) >= job.thresholdBytes)) {
        collecting = true
        const startedAt = monotonicMs()
        if (!force) {
          // Most of what moved is garbage of compiling: a whole collection only where what is left has moved.
          collectYoung()
          last = bytesNow()
          put(EVENT.young, -1, raw, last)
          raw = last
        }
        if (force || Math.abs(raw - lastSettled) >= job.thresholdBytes) {
          collect()
          counts.collections++
          last = lastSettled = settled = bytesNow()
        }
        counts.collectionsMs += monotonicMs() - startedAt
        collecting = false
      }
      put(type, name, raw, settled)
    },
    note(type, a, b, c) {
      if (!stopped) put(type, a, b, c)
    },
    restart() {
      quiet = false
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
    get isQuiet() {
      return quiet
    },
    get collections() {
      return counts.collections
    },
    get collectionsMs() {
      return counts.collectionsMs
    },
  }
}

/** Used heap + external memory. getHeapStatistics() makes an object of 14 numbers each time, garbage that would count
 *  as the program's; V8's own buffer behind it makes none. */
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

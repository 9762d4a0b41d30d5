// Schedules all delayed work of a herd with one timer: the due times are in a heap, and the timer is armed for the
// earliest. Entries that are due within one another's slack run in one wake-up of the loop.

import type { Clock, Timer } from './clock.ts'

export interface Scheduler {
  /** Calls `fn` once after `delayMs`. To share a wake-up it may run up to `slackMs` later. @default 0 */
  after(delayMs: number, fn: () => void, slackMs?: number): Timer
  /** The number of waiting entries. */
  readonly size: number
  close(): void
}

/** A scheduled call, which is also its own Timer: a thousand workers have one each. */
class Entry implements Timer {
  readonly dueAt: number
  /** dueAt + slack: the latest time it may run. */
  readonly latestAt: number
  readonly #onCancel: (entry: Entry) => void
  fn: (() => void) | undefined
  /** Position in the heap; -1 when not in the heap. */
  index = -1

  constructor(dueAt: number, slackMs: number, fn: () => void, onCancel: (entry: Entry) => void) {
    this.dueAt = dueAt
    this.latestAt = dueAt + slackMs
    this.fn = fn
    this.#onCancel = onCancel
  }

  cancel(): void {
    if (this.fn === undefined) return
    this.fn = undefined
    // Outside the heap the entry is due in the current turn, after the entry that cancels it.
    if (this.index >= 0) this.#onCancel(this)
  }
}

/** `onLateness` is called with the lateness (ms) of each wake-up: samples of the loop's delay without a probe timer. */
export function createScheduler(clock: Clock, onLateness?: (ms: number) => void): Scheduler {
  const heap: Entry[] = []
  let timer: Timer | undefined
  let armedFor = Number.POSITIVE_INFINITY
  let firing = false

  const arm = (): void => {
    if (firing) return
    const first = heap[0]
    if (first === undefined) {
      timer?.cancel()
      timer = undefined
      armedFor = Number.POSITIVE_INFINITY
      return
    }
    if (timer !== undefined && armedFor === first.latestAt) return
    timer?.cancel()
    armedFor = first.latestAt
    timer = clock.setTimer(Math.max(0, Math.ceil(first.latestAt - clock.monotonic())), fire)
  }

  const fire = (): void => {
    timer = undefined
    const now = clock.monotonic()
    onLateness?.(Math.max(0, now - armedFor))
    const due = takeDue(heap, now)
    firing = true
    for (const entry of due) {
      const fn = entry.fn
      entry.fn = undefined
      try {
        fn?.()
      } catch (error) {
        // An entry that throws must not keep the others from running. The error still surfaces as uncaught.
        process.nextTick(() => {
          throw error
        })
      }
    }
    firing = false
    armedFor = Number.POSITIVE_INFINITY
    arm()
  }

  const remove = (entry: Entry): void => {
    const wasFirst = entry.index === 0
    removeAt(heap, entry.index)
    if (wasFirst) arm()
  }

  return {
    after(delayMs, fn, slackMs = 0) {
      const entry = new Entry(clock.monotonic() + Math.max(0, delayMs), slackMs, fn, remove)
      push(heap, entry)
      if (entry.index === 0) arm()
      return entry
    },
    get size() {
      return heap.length
    },
    close() {
      timer?.cancel()
      timer = undefined
      for (const entry of heap) entry.fn = undefined
      heap.length = 0
    },
  }
}

/** Removes and returns all entries that are due, earliest first. */
function takeDue(heap: Entry[], now: number): Entry[] {
  const due: Entry[] = []
  // The heap is ordered by latestAt, so a due entry with slack may be anywhere in it.
  for (let i = heap.length - 1; i >= 0; i--) {
    const entry = heap[i] as Entry
    if (entry.dueAt <= now) due.push(entry)
  }
  for (const entry of due) removeAt(heap, entry.index)
  return due.sort((a, b) => a.dueAt - b.dueAt)
}

function push(heap: Entry[], entry: Entry): void {
  entry.index = heap.length
  heap.push(entry)
  siftUp(heap, entry.index)
}

function removeAt(heap: Entry[], index: number): void {
  const last = heap.pop()
  const removed = heap[index]
  if (last === undefined) return
  if (removed === undefined) {
    last.index = -1
    return
  }
  removed.index = -1
  heap[index] = last
  last.index = index
  siftUp(heap, index)
  siftDown(heap, last.index)
}

function siftUp(heap: Entry[], from: number): void {
  let i = from
  while (i > 0) {
    const parent = (i - 1) >> 1
    if ((heap[parent] as Entry).latestAt <= (heap[i] as Entry).latestAt) return
    swap(heap, i, parent)
    i = parent
  }
}

function siftDown(heap: Entry[], from: number): void {
  let i = from
  for (;;) {
    const left = 2 * i + 1
    if (left >= heap.length) return
    const right = left + 1
    const least =
      right < heap.length && (heap[right] as Entry).latestAt < (heap[left] as Entry).latestAt ? right : left
    if ((heap[i] as Entry).latestAt <= (heap[least] as Entry).latestAt) return
    swap(heap, i, least)
    i = least
  }
}

function swap(heap: Entry[], a: number, b: number): void {
  const [x, y] = [heap[a] as Entry, heap[b] as Entry]
  heap[a] = y
  heap[b] = x
  y.index = a
  x.index = b
}

// How many workers load at once: the rest wait in order. A slow load gives its slot up after a while, so that a
// top-level await that never ends cannot hold the others back.

import type { Timer } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'

/** A load keeps its slot at most this long. */
const HOLD_MS = 250

export interface Ticket {
  /** The load ended, or is not wanted any more. Idempotent. */
  leave(): void
}

export interface Admission {
  /** Calls `begin` now or when a slot is free. */
  enter(begin: () => void): Ticket
  readonly waiting: number
}

/** Imports in one loop overlap their file reads only; more than this gains nothing. */
const LOADS_AT_ONCE = 8

export function createAdmission(max: number | undefined, scheduler: Scheduler): Admission {
  const queue: Entry[] = []
  let active = 0

  interface Entry {
    state: 'waiting' | 'active' | 'left'
    timer: Timer | undefined
    readonly begin: () => void
  }

  const admit = (): void => {
    while (active < (max ?? LOADS_AT_ONCE)) {
      const entry = queue.shift()
      if (entry === undefined) return
      if (entry.state !== 'waiting') continue
      active++
      entry.state = 'active'
      entry.timer = scheduler.after(HOLD_MS, () => leave(entry))
      entry.begin()
    }
  }
  const leave = (entry: Entry): void => {
    if (entry.state === 'left') return
    const held = entry.state === 'active'
    entry.state = 'left'
    entry.timer?.cancel()
    if (!held) return
    active--
    admit()
  }
  return {
    enter(begin) {
      const entry: Entry = { state: 'waiting', timer: undefined, begin }
      queue.push(entry)
      admit()
      return { leave: () => leave(entry) }
    },
    get waiting() {
      return queue.filter((entry) => entry.state === 'waiting').length
    },
  }
}

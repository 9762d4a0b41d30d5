// Bounded, weighted admission: how many workers load at once, at start and at restarts alike; the rest wait in order. A
// slow load gives its slot up after a while, so that a top-level await that never ends cannot hold the others back.
//
// Without `admission.max` there are two queues. What loads in the shared loop overlaps its file reads only: one module is
// evaluated at a time whatever is admitted, so 32 go at once. What loads in a thread or process computes and allocates
// beside the others: as many as there are cores. With `admission.max` one queue of that weight has them all.

import { availableParallelism } from 'node:os'
import type { Timer } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { Placement, ResolvedWorker } from '../config/types.ts'

export interface Ticket {
  /** The load ended, or is not wanted any more. Idempotent. */
  leave(): void
}

export interface Admission {
  /** Calls `begin` now or when a slot is free. */
  enter(spec: ResolvedWorker, begin: () => void): Ticket
  readonly status: { readonly loading: number; readonly waiting: number }
  /** How many may wait before somebody who asks from outside for one more is refused; undefined while there is room. */
  readonly fullAt: number | undefined
}

export interface AdmissionOptions {
  /** Weight that loads at once, all placements together. @default 32 in the shared loop, cores beside it */
  readonly max?: number
  /** Starts that may wait before a command that wants another is refused. */
  readonly queue: number
  readonly scheduler: Scheduler
  readonly placeOf: (spec: ResolvedWorker) => Placement
  /** @default those this process may use */
  readonly cores?: number
}

/** More than this gains nothing in one loop. */
const SHARED_AT_ONCE = 32
/** A load keeps its slot at most this long. */
const HOLD_SHARED_MS = 250
const HOLD_OUTSIDE_MS = 10_000

export function createAdmission(options: AdmissionOptions): Admission {
  const { max, queue, scheduler, placeOf, cores = availableParallelism() } = options
  const shared = new Line(max ?? SHARED_AT_ONCE)
  const outside = max === undefined ? new Line(cores) : shared
  const lines = max === undefined ? [shared, outside] : [shared]
  const sum = (count: (line: Line) => number): number => lines.reduce((all, line) => all + count(line), 0)
  const waiting = (): number => sum((line) => line.waiting)
  return {
    enter(spec, begin) {
      const inLoop = placeOf(spec) === 'shared'
      const line = inLoop ? shared : outside
      const entry = new Entry(line, spec.weight, begin)
      line.add(entry, (leave) => scheduler.after(inLoop ? HOLD_SHARED_MS : HOLD_OUTSIDE_MS, leave))
      return entry
    },
    get status() {
      return { loading: sum((line) => line.loading), waiting: waiting() }
    },
    get fullAt() {
      return waiting() >= queue ? queue : undefined
    },
  }
}

type Hold = (leave: () => void) => Timer

class Entry implements Ticket {
  readonly weight: number
  readonly #line: Line
  #begin: (() => void) | undefined
  #timer: Timer | undefined
  state: 'waiting' | 'loading' | 'left' = 'waiting'

  constructor(line: Line, weight: number, begin: () => void) {
    this.#line = line
    this.weight = weight
    this.#begin = begin
  }

  admitted(hold: Hold): void {
    this.state = 'loading'
    this.#timer = hold(() => this.leave())
    const begin = this.#begin
    this.#begin = undefined
    begin?.()
  }

  leave(): void {
    const { state } = this
    if (state === 'left') return
    this.state = 'left'
    this.#begin = undefined
    this.#timer?.cancel()
    this.#timer = undefined
    this.#line.left(this, state)
  }
}

/** One queue: strictly in order, so that a heavy worker is not overtaken forever. */
class Line {
  readonly #limit: number
  readonly #queue: { readonly entry: Entry; readonly hold: Hold }[] = []
  #weight = 0
  loading = 0
  waiting = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  add(entry: Entry, hold: Hold): void {
    this.#queue.push({ entry, hold })
    this.waiting++
    this.#admit()
  }

  left(entry: Entry, from: 'waiting' | 'loading'): void {
    if (from === 'waiting') {
      this.waiting--
      return
    }
    this.loading--
    // Weights are fractions: nobody loading is nothing, whatever the sum says.
    this.#weight = this.loading === 0 ? 0 : this.#weight - entry.weight
    this.#admit()
  }

  #admit(): void {
    for (;;) {
      const next = this.#queue[0]
      if (next === undefined) return
      if (next.entry.state === 'waiting' && !this.#fits(next.entry.weight)) return
      this.#queue.shift()
      if (next.entry.state !== 'waiting') continue
      this.waiting--
      this.loading++
      this.#weight += next.entry.weight
      next.entry.admitted(next.hold)
    }
  }

  /** One that is heavier than the limit goes alone. */
  #fits(weight: number): boolean {
    return this.loading === 0 || this.#weight + weight <= this.#limit + 1e-9
  }
}

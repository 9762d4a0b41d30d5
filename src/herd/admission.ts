// Weighted admission: bounds how many workers load at once, at start and at restarts alike; the rest wait in order. A slow
// load releases its slot after a while, so that a top-level await that never resolves does not block the others.
//
// Without `admission.max` there are two queues. Loads in the shared loop overlap only their file reads, since one module is
// evaluated at a time: 32 are admitted at once. Loads in threads and processes use CPU and memory in parallel: as many are
// admitted as there are cores. With `admission.max` one queue of that weight holds both kinds.

import { availableParallelism } from 'node:os'
import type { Timer } from '../base/clock.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { Placement, ResolvedWorker } from '../config/types.ts'

export interface Ticket {
  /** The load ended or was cancelled. Idempotent. */
  leave(): void
}

export interface Admission {
  /** Calls `begin` at once or when a slot is free. */
  enter(spec: ResolvedWorker, begin: () => void): Ticket
  readonly status: { readonly loading: number; readonly waiting: number }
  /** The limit on waiting loads once it is reached: commands that need another load are refused. Undefined below it. */
  readonly fullAt: number | undefined
}

export interface AdmissionOptions {
  /** Total weight that loads at once, over all placements. @default 32 in the shared loop, and one per core outside it */
  readonly max?: number
  /** Loads that may wait before a command that needs another one is refused. */
  readonly queue: number
  readonly scheduler: Scheduler
  readonly placeOf: (spec: ResolvedWorker) => Placement
  /** @default the CPUs available to this process */
  readonly cores?: number
}

/** More parallel loads gain nothing in one loop. */
const SHARED_AT_ONCE = 32
/** A load keeps its slot this long at most. */
const HOLD_SHARED_MS = 250
const HOLD_OUTSIDE_MS = 10_000

export function createAdmission(options: AdmissionOptions): Admission {
  const { max, queue: queueMax, scheduler, placeOf, cores = availableParallelism() } = options
  const shared = new LoadQueue(max ?? SHARED_AT_ONCE)
  const outside = max === undefined ? new LoadQueue(cores) : shared
  const queues = max === undefined ? [shared, outside] : [shared]
  const sum = (count: (queue: LoadQueue) => number): number =>
    queues.reduce((all, each) => all + count(each), 0)
  const waiting = (): number => sum((each) => each.waiting)
  return {
    enter(spec, begin) {
      const inLoop = placeOf(spec) === 'shared'
      const queue = inLoop ? shared : outside
      const entry = new Entry(queue, spec.weight, begin)
      queue.add(entry, (leave) => scheduler.after(inLoop ? HOLD_SHARED_MS : HOLD_OUTSIDE_MS, leave))
      return entry
    },
    get status() {
      return { loading: sum((each) => each.loading), waiting: waiting() }
    },
    get fullAt() {
      return waiting() >= queueMax ? queueMax : undefined
    },
  }
}

type Hold = (leave: () => void) => Timer

class Entry implements Ticket {
  readonly weight: number
  readonly #queue: LoadQueue
  #begin: (() => void) | undefined
  #timer: Timer | undefined
  state: 'waiting' | 'loading' | 'left' = 'waiting'

  constructor(queue: LoadQueue, weight: number, begin: () => void) {
    this.#queue = queue
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
    this.#queue.left(this, state)
  }
}

/** One queue, strictly in order: a heavy worker is never overtaken. */
class LoadQueue {
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
    // Weights are fractions: without a load in progress the weight is exactly 0, regardless of rounding errors.
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

  /** Whether a load of this weight may start now. An entry that is heavier than the limit loads alone. */
  #fits(weight: number): boolean {
    return this.loading === 0 || this.#weight + weight <= this.#limit + 1e-9
  }
}

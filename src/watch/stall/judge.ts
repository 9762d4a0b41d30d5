// Decides from outside when a loop is blocked. Pure: it is given what was seen and answers what to do and when to look
// again. A loop that rests in its own epoll costs nothing; any other is asked to answer, which a blocked one cannot.

/** A look at the loop. Times are ms of one monotonic clock. */
export interface Look {
  readonly nowMs: number
  /** It waits for events in its own epoll; undefined where that cannot be seen. */
  readonly resting: boolean | undefined
  /** Number of the latest question it has answered. */
  readonly answered: number
}

export type Ruling =
  /** Nothing to do until the next look. */
  | { readonly kind: 'fine' }
  /** Put question `number` to it. */
  | { readonly kind: 'ask'; readonly number: number }
  /** It has not answered question `number` for `longMs`: said once for each question. */
  | { readonly kind: 'long'; readonly number: number; readonly blockedMs: number }
  /** It has not answered for half of `afterMs`: said once, to get ready. */
  | { readonly kind: 'suspect' }
  /** It has not answered question `number` for `blockedMs`, and so has been blocked for at least that long. */
  | { readonly kind: 'stalled'; readonly number: number; readonly blockedMs: number }

export interface JudgeOptions {
  /** A block this long is a stall. */
  readonly afterMs: number
  /** From look to look, while nothing is wrong. */
  readonly periodMs: number
  /** A turn of the loop this long is reported as `long`. While the loop is seen not to rest it is looked at this often.
   *  @default never reported */
  readonly longMs?: number
}

/** A look that comes this much too late was delayed itself (SIGSTOP, a machine without CPU time): it proves nothing. */
const LATE_MS = 500

export class Judge {
  readonly #options: JudgeOptions
  #last = 0
  /** The question that is not answered yet. */
  #open: { readonly number: number; askedMs: number; long: boolean; suspected: boolean } | undefined
  /** From look to look at present: doubles from `longMs` to `periodMs` while the loop rests. */
  #paceMs: number
  #dueMs: number | undefined

  constructor(options: JudgeOptions) {
    this.#options = options
    this.#paceMs = options.periodMs
  }

  /** What follows from a look. */
  judge({ nowMs, resting, answered }: Look): Ruling {
    this.#setPace(resting)
    const late = this.#dueMs !== undefined && nowMs - this.#dueMs > LATE_MS
    const open = this.#open
    if (open !== undefined && answered >= open.number) this.#open = undefined
    else if (open !== undefined) {
      if (late) open.askedMs = nowMs
      const blockedMs = nowMs - open.askedMs
      if (!open.long && blockedMs >= (this.#options.longMs ?? Number.POSITIVE_INFINITY)) {
        open.long = true
        return { kind: 'long', number: open.number, blockedMs }
      }
      if (blockedMs < this.#options.afterMs) {
        if (open.suspected || blockedMs < this.#options.afterMs / 2) return { kind: 'fine' }
        open.suspected = true
        return { kind: 'suspect' }
      }
      return { kind: 'stalled', number: open.number, blockedMs }
    }
    if (resting === true) return { kind: 'fine' }
    this.#last++
    this.#open = { number: this.#last, askedMs: nowMs, long: false, suspected: false }
    return { kind: 'ask', number: this.#last }
  }

  /** Milliseconds until the next look, from `nowMs`, which is that of the look just judged. */
  nextMs(nowMs: number): number {
    const { afterMs, periodMs, longMs } = this.#options
    const open = this.#open
    let delayMs = this.#paceMs
    if (open !== undefined) {
      const nextMs = longMs === undefined || open.long ? afterMs : longMs
      delayMs = Math.min(periodMs, open.askedMs + nextMs - nowMs)
    }
    const boundedMs = Math.max(1, delayMs)
    this.#dueMs = nowMs + boundedMs
    return boundedMs
  }

  #setPace(resting: boolean | undefined): void {
    const { periodMs, longMs } = this.#options
    if (longMs === undefined || resting === undefined) return
    this.#paceMs = resting ? Math.min(periodMs, 2 * this.#paceMs) : Math.min(periodMs, longMs)
  }
}

/** This pace costs 3.6 wake-ups a second and delays a verdict by as much at most. */
const PERIOD_MS = 280
/** Where only questions tell, each of them wakes two threads. */
const PERIOD_BLIND_MS = 500

/** From look to look for stalls of `afterMs`; `sighted`: the kernel shows whether the loop rests. */
export function periodOf(afterMs: number, sighted: boolean): number {
  return Math.min(sighted ? PERIOD_MS : PERIOD_BLIND_MS, Math.max(10, Math.floor(afterMs / 2)))
}

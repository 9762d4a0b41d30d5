// Decides from outside when a loop is blocked. Pure: it is told what was seen and answers what to do and when to look
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
  /** It has not answered for half of `afterMs`: said once, to get ready. */
  | { readonly kind: 'suspect' }
  /** It has not answered question `number` for `blockedMs`, and so has been blocked for at least that long. */
  | { readonly kind: 'stalled'; readonly number: number; readonly blockedMs: number }

export interface JudgeOptions {
  /** A block this long is a stall. */
  readonly afterMs: number
  /** From look to look, while nothing is wrong. */
  readonly periodMs: number
}

/** A look that comes this much too late was delayed itself (SIGSTOP, a machine without CPU time): it proves nothing. */
const LATE_MS = 500

export class Judge {
  readonly #options: JudgeOptions
  #last = 0
  /** The question that is not answered yet. */
  #open: { readonly number: number; askedMs: number; suspected: boolean } | undefined
  #dueMs: number | undefined

  constructor(options: JudgeOptions) {
    this.#options = options
  }

  /** What follows from a look. */
  judge({ nowMs, resting, answered }: Look): Ruling {
    const late = this.#dueMs !== undefined && nowMs - this.#dueMs > LATE_MS
    const open = this.#open
    if (open !== undefined && answered >= open.number) this.#open = undefined
    else if (open !== undefined) {
      if (late) open.askedMs = nowMs
      const blockedMs = nowMs - open.askedMs
      if (blockedMs < this.#options.afterMs) {
        if (open.suspected || blockedMs < this.#options.afterMs / 2) return { kind: 'fine' }
        open.suspected = true
        return { kind: 'suspect' }
      }
      return { kind: 'stalled', number: open.number, blockedMs }
    }
    if (resting === true) return { kind: 'fine' }
    this.#last++
    this.#open = { number: this.#last, askedMs: nowMs, suspected: false }
    return { kind: 'ask', number: this.#last }
  }

  /** Milliseconds until the next look, from `nowMs`, which is that of the look just judged. */
  nextMs(nowMs: number): number {
    const { afterMs, periodMs } = this.#options
    const open = this.#open
    const delayMs = open === undefined ? periodMs : Math.min(periodMs, open.askedMs + afterMs - nowMs)
    const boundedMs = Math.max(1, delayMs)
    this.#dueMs = nowMs + boundedMs
    return boundedMs
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

// The clock as an interface, so that tests supply their own and never sleep.

export interface Clock {
  /** Wall clock, milliseconds since the epoch. For timestamps only: it can step, so never use it for intervals. */
  readonly now: () => number
  /** Monotonic milliseconds with a fraction, for intervals. */
  readonly monotonic: () => number
  /** Runs `fn` once after `delayMs` (0 or more). With `unref: true` the timer does not keep the process alive. */
  readonly setTimer: (delayMs: number, fn: () => void, options?: { readonly unref?: boolean }) => Timer
}

export interface Timer {
  /** Idempotent. */
  cancel(): void
}

/** The longest delay a Node timer supports: 2^31-1 ms, about 24.8 days. A timer with a longer delay fires at once. */
export const MAX_TIMER_MS = 2_147_483_647

// Captured at import: byre wraps the globals while it hosts workers, and its own timers must not be charged to a worker.
const { setTimeout: originalSetTimeout, clearTimeout: originalClearTimeout } = globalThis
const { now } = Date

/** The real clock. It splits a delay beyond MAX_TIMER_MS into several timers. */
export const systemClock: Clock = {
  now,
  monotonic: () => performance.now(),
  setTimer(delayMs, fn, options) {
    let handle: ReturnType<typeof setTimeout> | undefined
    let left = Math.max(0, delayMs)
    const arm = (): void => {
      const slice = Math.min(left, MAX_TIMER_MS)
      left -= slice
      handle = originalSetTimeout(left > 0 ? arm : fn, slice)
      if (options?.unref === true) handle.unref()
    }
    arm()
    return { cancel: () => originalClearTimeout(handle) }
  },
}

/** Returns a uniform random number in [0, 1). Tests replace it to control jitter. */
export type Random = () => number

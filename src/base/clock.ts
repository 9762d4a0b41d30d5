// Time behind a seam, so that tests feed it and never sleep.

export interface Clock {
  /** Wall clock, milliseconds since the epoch; for stamps only, never for intervals (it steps). */
  readonly now: () => number
  /** Monotonic milliseconds with fraction; for intervals. */
  readonly monotonic: () => number
  /** Runs `fn` once after `delayMs` (0 or more). The timer does not keep the process alive when `unref` is true. */
  readonly setTimer: (delayMs: number, fn: () => void, options?: { readonly unref?: boolean }) => Timer
}

export interface Timer {
  /** Idempotent. */
  cancel(): void
}

/** Longest delay one Node timer can hold: 2^31-1 ms, about 24.8 days; a longer one would fire at once. */
export const MAX_TIMER_MS = 2_147_483_647

// Taken at import: byre wraps the globals while it hosts workers, and its own timers must not be charged to one.
const { setTimeout: hostSetTimeout, clearTimeout: hostClearTimeout } = globalThis
const { now } = Date

/** The real clock. A delay beyond MAX_TIMER_MS is waited for in slices. */
export const systemClock: Clock = {
  now,
  monotonic: () => performance.now(),
  setTimer(delayMs, fn, options) {
    let handle: ReturnType<typeof setTimeout> | undefined
    let left = Math.max(0, delayMs)
    const arm = (): void => {
      const slice = Math.min(left, MAX_TIMER_MS)
      left -= slice
      handle = hostSetTimeout(left > 0 ? arm : fn, slice)
      if (options?.unref === true) handle.unref()
    }
    arm()
    return { cancel: () => hostClearTimeout(handle) }
  },
}

/** Uniform in [0, 1); the seam for jitter. */
export type Random = () => number

// A clock that moves only when told to; timers fire in order of their due time.
import type { Clock } from '../../src/base/clock.ts'

export interface FakeClock extends Clock {
  /** Moves time on by `ms`, firing what falls due on the way. */
  advance(ms: number): void
  /** Sets the wall clock on (or back) by `ms`; no timer hears of it. */
  step(ms: number): void
  readonly armed: number
}

export function fakeClock(startAt = 0): FakeClock {
  let now = startAt
  let stepMs = 0
  const timers = new Set<{ dueAt: number; fn: () => void }>()
  return {
    now: () => now + stepMs,
    monotonic: () => now,
    setTimer(delayMs, fn) {
      const entry = { dueAt: now + Math.max(0, delayMs), fn }
      timers.add(entry)
      return { cancel: () => void timers.delete(entry) }
    },
    advance(ms) {
      const until = now + ms
      for (;;) {
        const next = [...timers].filter((entry) => entry.dueAt <= until).sort((a, b) => a.dueAt - b.dueAt)[0]
        if (next === undefined) break
        timers.delete(next)
        now = Math.max(now, next.dueAt)
        next.fn()
      }
      now = until
    },
    step(ms) {
      stepMs += ms
    },
    get armed() {
      return timers.size
    },
  }
}

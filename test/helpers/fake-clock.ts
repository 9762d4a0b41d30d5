// A clock that moves only when told to; timers fire in order of their due time.
import type { Clock } from '../../src/base/clock.ts'

export interface FakeClock extends Clock {
  /** Moves time on by `ms`, firing what falls due on the way. */
  advance(ms: number): void
  readonly armed: number
}

export function fakeClock(startAt = 0): FakeClock {
  let now = startAt
  const timers = new Set<{ dueAt: number; fn: () => void }>()
  return {
    now: () => now,
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
    get armed() {
      return timers.size
    },
  }
}

// Periodic calls without overlap or drift, for ctx.every and for periodic activation.

import type { Random, Timer } from '../base/clock.ts'
import { parseDurationMs } from '../base/durations.ts'
import { ByreError, refuse } from '../base/errors.ts'
import type { Scheduler } from '../base/scheduler.ts'
import { unknownKeys } from '../base/suggest.ts'
import type { EveryOptions } from './contract.ts'

const MIN_PERIOD_MS = 10
/** 365 d, the longest duration that byre accepts. The clock splits long delays into slices. */
const MAX_PERIOD_MS: number = 365 * 86_400_000
/** The fraction of a period that a tick may be late to share a wake-up of the loop, and its maximum. */
const SLACK_RATIO = 0.05
const SLACK_MAX_MS = 100

/** Converts a period (a number of ms, or a duration) to ms. Throws BYRE_ARGUMENT_INVALID outside 10 ms to 365 d. */
export function periodMs(period: number | string): number {
  const ms = typeof period === 'string' ? parseDurationMs(period) : period
  if (typeof ms === 'number' && ms >= MIN_PERIOD_MS && ms <= MAX_PERIOD_MS) return ms
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    `Cannot repeat every '${String(period)}': the period must be between 10ms and 365d, got ${String(ms)} ms. Use a duration such as '30s', or milliseconds.`,
  )
}

export function slackMs(period: number): number {
  return Math.min(SLACK_MAX_MS, period * SLACK_RATIO)
}

/** Starts the periodic calls. Returns a function that ends them. Throws BYRE_ARGUMENT_INVALID for an invalid period or
 *  option. */
export function startPeriod(
  period: number | string,
  options: EveryOptions,
  {
    scheduler,
    monotonic,
    random,
    tick,
    onSkipped,
  }: {
    readonly scheduler: Scheduler
    /** Monotonic ms. */
    readonly monotonic: () => number
    readonly random: Random
    /** Runs a tick in the owner's context. Resolves when the tick has ended and never rejects. */
    readonly tick: () => Promise<void>
    /** Called with the number of ticks that were skipped because the previous one was still running. */
    readonly onSkipped?: (count: number) => void
  },
): () => void {
  const ms = periodMs(period)
  const known: (keyof EveryOptions)[] = ['jitter', 'immediate']
  const problems = unknownKeys(options, known)
  const jitter = options.jitter ?? 0.1
  if (!(jitter >= 0 && jitter <= 1))
    problems.push({ path: 'jitter', message: `must be between 0 and 1, got ${String(jitter)}` })
  refuse('Cannot repeat', problems)
  let timer: Timer | undefined
  let released = false
  let dueAt = monotonic() + (options.immediate === true ? 0 : ms + ms * jitter * random())
  const arm = (): void => {
    timer = scheduler.after(dueAt - monotonic(), fire, slackMs(ms))
  }
  const fire = (): void => {
    void tick().then(() => {
      if (released) return
      const now = monotonic()
      const passed = Math.max(1, Math.ceil((now - dueAt) / ms))
      if (passed > 1) onSkipped?.(passed - 1)
      dueAt += passed * ms
      arm()
    })
  }
  arm()
  return () => {
    released = true
    timer?.cancel()
  }
}

// A period that never overlaps, never drifts and ends with its signal: behind ctx.every and periodic activation.

import type { Random, Timer } from '../base/clock.ts'
import { parseDurationMs } from '../base/durations.ts'
import { ByreError, refuse } from '../base/errors.ts'
import type { Scheduler } from '../base/scheduler.ts'
import { unknownKeys } from '../base/suggest.ts'
import type { EveryOptions } from './contract.ts'

const MIN_PERIOD_MS = 10
/** 365 d, the longest duration there is; the clock waits for long delays in slices. */
const MAX_PERIOD_MS: number = 365 * 86_400_000
/** Share of a period by which a tick may wait for company, and its cap: fewer wake-ups of the loop. */
const SLACK_RATIO = 0.05
const SLACK_MAX_MS = 100

/** Milliseconds of `period` (number of ms, or a duration). Throws BYRE_ARGUMENT_INVALID outside 10 ms to 365 d. */
export function periodMs(period: number | string): number {
  const ms = typeof period === 'string' ? parseDurationMs(period) : period
  if (typeof ms === 'number' && ms >= MIN_PERIOD_MS && ms <= MAX_PERIOD_MS) return ms
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    `Cannot repeat every '${String(period)}': the period must be 10ms to 365d, got ${String(ms)} ms. Write it as '30s' or as milliseconds.`,
  )
}

export function slackMs(period: number): number {
  return Math.min(SLACK_MAX_MS, period * SLACK_RATIO)
}

export interface PeriodDeps {
  readonly scheduler: Scheduler
  /** Monotonic ms. */
  readonly monotonic: () => number
  readonly random: Random
  /** Runs a tick as its owner; resolves when it has ended, never rejects. */
  readonly tick: () => Promise<void>
  /** Told how many ticks were passed over because the one before still ran. */
  readonly onSkipped?: (count: number) => void
}

/** Starts the period; returns its release. */
export function startPeriod(period: number | string, options: EveryOptions, deps: PeriodDeps): () => void {
  const ms = periodMs(period)
  const known: (keyof EveryOptions)[] = ['jitter', 'immediate']
  const problems = unknownKeys(options, known)
  const jitter = options.jitter ?? 0.1
  if (!(jitter >= 0 && jitter <= 1))
    problems.push({ path: 'jitter', message: `must be between 0 and 1, got ${String(jitter)}` })
  refuse('Cannot repeat', problems)
  let timer: Timer | undefined
  let released = false
  let dueAt = deps.monotonic() + (options.immediate === true ? 0 : ms + ms * jitter * deps.random())
  const arm = (): void => {
    timer = deps.scheduler.after(dueAt - deps.monotonic(), fire, slackMs(ms))
  }
  const fire = (): void => {
    void deps.tick().then(() => {
      if (released) return
      const now = deps.monotonic()
      const passed = Math.max(1, Math.ceil((now - dueAt) / ms))
      if (passed > 1) deps.onSkipped?.(passed - 1)
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

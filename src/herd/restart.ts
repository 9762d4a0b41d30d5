// Restart arithmetic: pure. Given a policy and what has happened, restart after n ms, rest, or give up.
// The shape is systemd's (Restart=, StartLimitBurst/Interval) with exponential backoff and OTP's window of failures.

import type { Random } from '../base/clock.ts'
import type { ResolvedBackoff, ResolvedLimit, RestartPolicy } from '../config/types.ts'

/** What the arithmetic remembers of one worker: bounded by limit.failures stamps and two counters. */
export interface FailureHistory {
  /** Monotonic ms of failed (or, under 'always', ended) runs, oldest first; never more than limit.failures. */
  readonly stamps: readonly number[]
  /** Ends in a row without a run that stayed up for backoff.resetAfter. */
  readonly consecutive: number
}

export const NO_FAILURES: FailureHistory = { stamps: [], consecutive: 0 }

export interface RestartPolicyInput {
  readonly restart: RestartPolicy
  readonly backoff: ResolvedBackoff
  readonly limit: ResolvedLimit
}

/** How a run ended, as far as restarting is concerned. */
export interface RunEnd {
  readonly failed: boolean
  /** Monotonic ms. */
  readonly at: number
  /** How long it was ready; 0 when it never was. */
  readonly upMs: number
}

export type RestartDecision =
  | { readonly kind: 'restart'; readonly delayMs: number; readonly history: FailureHistory }
  | { readonly kind: 'rest'; readonly history: FailureHistory }
  | { readonly kind: 'limit'; readonly failures: number; readonly history: FailureHistory }

/** Jitter multiplies by [1, 1 + JITTER): workers that failed together do not come back together. */
export const JITTER = 0.5

/**
 * Delay before restart number `attempt` (1 is the first), before jitter: `first`, then base * factor^(attempt - 2),
 * at most `max`.
 */
export function backoffDelayMs(backoff: ResolvedBackoff, attempt: number): number {
  if (attempt <= 1) return backoff.firstMs
  // The exponent is bounded so that a factor of 1e6 after a thousand failures is max, not Infinity * 0.
  const raw = backoff.baseMs * backoff.factor ** Math.min(attempt - 2, 64)
  return Math.min(backoff.maxMs, raw)
}

/** The delays, before jitter, of the first `count` restarts; for `supervise --explain`. */
export function delaySeries(backoff: ResolvedBackoff, count: number): number[] {
  return Array.from({ length: count }, (_, i) => backoffDelayMs(backoff, i + 1))
}

/** Decides after a run ended by itself (never after a stop that was asked for). */
export function decideRestart(
  policy: RestartPolicyInput,
  history: FailureHistory,
  end: RunEnd,
  random: Random,
): RestartDecision {
  const counts = end.failed || policy.restart === 'always'
  if (!counts) return { kind: 'rest', history: NO_FAILURES }
  const next = remember(policy, history, end)
  if (next.stamps.length >= policy.limit.failures) {
    return { kind: 'limit', failures: next.stamps.length, history: next }
  }
  if (policy.restart === 'never') return { kind: 'rest', history: next }
  const delayMs = backoffDelayMs(policy.backoff, next.consecutive) * (1 + JITTER * random())
  return { kind: 'restart', delayMs, history: next }
}

function remember(policy: RestartPolicyInput, history: FailureHistory, end: RunEnd): FailureHistory {
  const fresh = end.upMs >= policy.backoff.resetAfterMs
  const windowStart = end.at - policy.limit.withinMs
  const stamps = fresh ? [] : history.stamps.filter((at) => at > windowStart)
  return { stamps: [...stamps, end.at], consecutive: fresh ? 1 : history.consecutive + 1 }
}

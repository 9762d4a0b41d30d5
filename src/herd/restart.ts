// Restart arithmetic, pure: given a policy and a history of failures, restart after a delay, rest, or give up. Modelled on
// systemd (Restart=, StartLimitBurst=, StartLimitIntervalSec=), with exponential backoff and OTP's window of failures.

import type { Random } from '../base/clock.ts'
import type { ResolvedBackoff, ResolvedLimit, RestartPolicy } from '../config/types.ts'

/** The history of one worker: at most limit.failures timestamps and two counters. */
export interface FailureHistory {
  /** Monotonic ms of failed (or, under 'always', ended) runs, oldest first; at most limit.failures. */
  readonly stamps: readonly number[]
  /** Consecutive ends without a run that stayed up for backoff.resetAfter. */
  readonly consecutive: number
}

export const NO_FAILURES: FailureHistory = { stamps: [], consecutive: 0 }

export interface RestartPolicyInput {
  readonly restart: RestartPolicy
  readonly backoff: ResolvedBackoff
  readonly limit: ResolvedLimit
}

/** The facts about the end of a run on which a restart depends. */
export interface RunEnd {
  readonly failed: boolean
  /** Monotonic ms. */
  readonly at: number
  /** How long the run was ready; 0 if it never was. */
  readonly upMs: number
}

export type RestartDecision =
  | { readonly kind: 'restart'; readonly delayMs: number; readonly history: FailureHistory }
  | { readonly kind: 'rest'; readonly history: FailureHistory }
  | { readonly kind: 'limit'; readonly failures: number; readonly history: FailureHistory }

/** Jitter multiplies the delay by [1, 1 + JITTER), so that workers that failed together do not restart together. */
export const JITTER = 0.5

/**
 * Delay before restart number `attempt` (1 is the first), before jitter: `first`, then base * factor^(attempt - 2),
 * at most `max`.
 */
export function backoffDelayMs(backoff: ResolvedBackoff, attempt: number): number {
  if (attempt <= 1) return backoff.firstMs
  // The exponent is bounded: a factor of 1e6 after a thousand failures gives max, not Infinity * 0.
  const raw = backoff.baseMs * backoff.factor ** Math.min(attempt - 2, 64)
  return Math.min(backoff.maxMs, raw)
}

/** The delays, before jitter, of the first `count` restarts; for `supervise --explain`. */
export function delaySeries(backoff: ResolvedBackoff, count: number): number[] {
  return Array.from({ length: count }, (_, i) => backoffDelayMs(backoff, i + 1))
}

/** Decides after a run ended by itself, not after a requested stop. */
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

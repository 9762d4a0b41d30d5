// Keeps V8's optimising compilers away from a process that starts. Code of the start is hot for a moment and never again,
// but Maglev and TurboFan compile it all the same: on the second core or, where that is taken, on the loop's, and in
// small pieces of malloc's heap, of which glibc keeps the holes. So until the herd is up, a function must be 50 times as
// hot as V8 wants by itself. Not "never": a worker that computes while it starts is optimised some milliseconds later.
//
// V8 reads these thresholds at each decision (TieringManager), so they may change while it runs; node keeps V8's flags
// unfrozen for v8.setFlagsFromString. Measured figures: RELEASE.md.

import { setFlagsFromString } from 'node:v8'
import type { Clock } from './clock.ts'

type Thresholds = Readonly<Record<string, number>>

/** V8's own values, since there is no way to ask for them. Of V8 11.3, and of 12.4 and later. */
const BUDGET: Thresholds = { 'interrupt-budget': 67_584 }
const INVOCATIONS: Thresholds = { 'invocation-count-for-maglev': 400, 'invocation-count-for-turbofan': 3000 }
const BY_MAJOR: Readonly<Record<string, Thresholds>> = {
  20: BUDGET,
  22: INVOCATIONS,
  24: INVOCATIONS,
  26: INVOCATIONS,
}
const TIMES = 50
/** A start that takes longer is served by optimised code. */
const LATEST_MS = 10_000

/** V8 flags to set while a process starts, and those that undo it. */
export interface TierUpFlags {
  readonly postpone: readonly string[]
  readonly resume: readonly string[]
}

/**
 * For Node `version` (as process.versions.node has it), of which the user gave `flags`. Nothing for a version that is not
 * known, whose V8 may have other names for them, and nothing where the user set one of them.
 */
export function tierUpFlags(version: string, flags: readonly string[]): TierUpFlags {
  const thresholds = BY_MAJOR[version.split('.')[0] ?? ''] ?? {}
  const names = Object.keys(thresholds)
  const given = flags.some((flag) => names.includes(nameOf(flag)))
  const lines = (times: number): string[] =>
    given ? [] : Object.entries(thresholds).map(([name, value]) => `--${name}=${value * times}`)
  return { postpone: lines(TIMES), resume: lines(1) }
}

/** V8 takes `_` for `-`, and the value after `=` or as the next argument. */
function nameOf(flag: string): string {
  return flag.replace(/^-+/, '').replace(/=.*/s, '').replaceAll('_', '-')
}

/**
 * Postpones optimisation in this process until the returned function is called, 10 s at most. Of the main thread only:
 * the flags are those of the whole process.
 */
export function postponeTierUp(clock: Clock): () => void {
  const { postpone, resume } = tierUpFlags(process.versions.node, givenFlags())
  for (const flag of postpone) setFlagsFromString(flag)
  const timer = clock.setTimer(LATEST_MS, end, { unref: true })
  let postponed = true
  function end(): void {
    if (!postponed) return
    postponed = false
    timer.cancel()
    for (const flag of resume) setFlagsFromString(flag)
  }
  return end
}

/**
 * Postpones it until `work` has settled, 10 s at most. Not around more than what is hot: while V8's flags are not those that
 * node was built with, node compiles each module of its own that is loaded, instead of taking it from its code cache.
 */
export async function whileTierUpIsPostponed<T>(clock: Clock, work: () => Promise<T>): Promise<T> {
  const resume = postponeTierUp(clock)
  try {
    return await work()
  } finally {
    resume()
  }
}

function givenFlags(): string[] {
  return [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)]
}

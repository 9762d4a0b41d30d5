// The order of the runs. Pure. Lanes are interleaved (A B, B A, A B, ...), so that drift of the machine affects all of them,
// and no lane always runs first.

import type { Phase } from './result.ts'

export interface Step {
  readonly lane: string
  readonly phase: Phase
  /** Number of the run in its lane and phase, from 1; warm-ups are numbered separately. */
  readonly run: number
  /** Warm-ups run but are not recorded. */
  readonly isWarmup: boolean
}

export function schedule(
  lanes: readonly string[],
  phases: readonly Phase[],
  runs: number,
  warmups: number,
): Step[] {
  const steps: Step[] = []
  for (let run = 1; run <= warmups; run++)
    for (const lane of lanes) steps.push({ lane, phase: 'warm', run, isWarmup: true })
  for (let run = 1; run <= runs; run++) {
    const order = run % 2 === 0 ? lanes.toReversed() : lanes
    // Phases in the given order, so that a cold run prepares the caches of the following warm one.
    for (const lane of order) for (const phase of phases) steps.push({ lane, phase, run, isWarmup: false })
  }
  return steps
}

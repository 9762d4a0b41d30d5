// The order of the runs. Pure. Lanes are interleaved (A B, B A, A B, ...), so that what drifts on the machine hits all of
// them, and no lane always runs first.

import type { Phase } from './result.ts'

export interface Step {
  readonly lane: string
  readonly phase: Phase
  /** 1 for the first of its series; warm-ups count for themselves. */
  readonly run: number
  /** Run, and not recorded. */
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
    // Cold first: it leaves behind what the warm run finds.
    for (const lane of order) for (const phase of phases) steps.push({ lane, phase, run, isWarmup: false })
  }
  return steps
}

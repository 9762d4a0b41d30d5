// A confidence interval for the relative difference of two medians, by the percentile bootstrap (Efron and Tibshirani, An
// Introduction to the Bootstrap, 1993, ch. 13). Pure and deterministic: the random numbers have a fixed seed.

import { quantile } from './stats.ts'

export interface Interval {
  /** after / before - 1: 0.1 is an increase of 10 %. */
  readonly lowRatio: number
  readonly highRatio: number
}

/** Number of resamples: enough that ten of them lie below the 0.1 % quantile. */
const RESAMPLES = 10_000

/** `confidence` is 0 to 1. Undefined when a resampled median of `before` is 0. Both lists need at least one value. */
export function differenceInterval(
  before: readonly number[],
  after: readonly number[],
  confidence: number,
): Interval | undefined {
  const random = mulberry32(0x5eed)
  const ratios: number[] = []
  for (let i = 0; i < RESAMPLES; i++) {
    const base = medianOfResample(before, random)
    if (base <= 0) return undefined
    ratios.push(medianOfResample(after, random) / base - 1)
  }
  const tail = (1 - confidence) / 2
  return { lowRatio: quantile(ratios, tail), highRatio: quantile(ratios, 1 - tail) }
}

function medianOfResample(values: readonly number[], random: () => number): number {
  const drawn = new Float64Array(values.length)
  for (let i = 0; i < drawn.length; i++) drawn[i] = values[Math.floor(random() * values.length)]!
  drawn.sort()
  const middle = drawn.length >> 1
  return drawn.length % 2 === 1 ? drawn[middle]! : (drawn[middle - 1]! + drawn[middle]!) / 2
}

/** Tommy Ettinger's mulberry32: 32 bits of state suffice for 10,000 resamples of a few values. */
export function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

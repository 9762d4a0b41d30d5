// Statistics of a small number of runs. Pure. Medians and the median absolute deviation, because on a shared machine about
// one run of ten is an outlier.

import { ByreError } from '../base/errors.ts'

export interface Summary {
  readonly n: number
  readonly median: number
  /** Median absolute deviation from the median, unscaled (x 1.4826 estimates a standard deviation). */
  readonly mad: number
  readonly min: number
  readonly max: number
}

/** Throws BYRE_ARGUMENT_INVALID for an empty list or a value that is not finite. */
export function summarize(values: readonly number[]): Summary {
  const sorted = checked(values)
  const middle = quantileOfSorted(sorted, 0.5)
  const deviations = sorted.map((value) => Math.abs(value - middle)).toSorted((a, b) => a - b)
  return {
    n: sorted.length,
    median: middle,
    mad: quantileOfSorted(deviations, 0.5),
    min: sorted[0]!,
    max: sorted.at(-1)!,
  }
}

/** The middle value, or the mean of the two. Throws as summarize does. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The `q` quantile, 0 to 1, linear between the neighbours (type 7 of Hyndman and Fan, The American Statistician 50(4),
 *  1996), as R, NumPy and Excel compute it. Throws as summarize does. */
export function quantile(values: readonly number[], q: number): number {
  if (!(q >= 0 && q <= 1))
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot compute a quantile: q must be between 0 and 1, got ${q}. Pass a fraction: 0.99 is the 99th percentile.`,
    )
  return quantileOfSorted(checked(values), q)
}

/** Arithmetic mean and sample standard deviation (n - 1; 0 for one value). Throws as summarize does. */
export function meanAndDeviation(values: readonly number[]): {
  readonly mean: number
  readonly deviation: number
} {
  const sorted = checked(values)
  const mean = sorted.reduce((total, value) => total + value / sorted.length, 0)
  const squares = sorted.reduce((total, value) => total + (value - mean) ** 2, 0)
  return { mean, deviation: sorted.length === 1 ? 0 : Math.sqrt(squares / (sorted.length - 1)) }
}

function checked(values: readonly number[]): number[] {
  const bad = values.find((value) => !Number.isFinite(value))
  if (values.length === 0 || bad !== undefined)
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot summarise ${values.length} values: at least one is needed and all must be finite, got ${bad ?? 'none'}. ` +
        'Leave out runs that could not be measured.',
    )
  return values.toSorted((a, b) => a - b)
}

function quantileOfSorted(sorted: readonly number[], q: number): number {
  const position = (sorted.length - 1) * q
  const below = sorted[Math.floor(position)]!
  const above = sorted[Math.ceil(position)]!
  // In this form the result is exact for two equal neighbours.
  return below + (above - below) * (position - Math.floor(position))
}

import fc from 'fast-check'
import t from 'tap'
import { meanAndDeviation, median, quantile, summarize } from '../../src/measure/stats.ts'

const finite = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 })
const runs = fc.array(finite, { minLength: 1, maxLength: 30 })

t.test('known values', async (t) => {
  t.same(summarize([5, 1, 3]), { n: 3, median: 3, mad: 2, min: 1, max: 5 })
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.equal(summarize([1, 1, 2, 2, 4, 6, 9]).mad, 1)
  // R: quantile(c(1,2,3,4,10), c(0, .1, .25, .99, 1)), type 7
  for (const [q, expected] of [
    [0, 1],
    [0.1, 1.4],
    [0.25, 2],
    [0.99, 9.76],
    [1, 10],
  ] as const) // prettier-ignore
    t.ok(Math.abs(quantile([10, 2, 3, 4, 1], q) - expected) < 1e-12, `q ${q}`)
  const { mean, deviation } = meanAndDeviation([2, 4, 4, 4, 5, 5, 7, 9])
  t.equal(mean, 5)
  t.ok(Math.abs(deviation - Math.sqrt(32 / 7)) < 1e-12)
  t.same(meanAndDeviation([3]), { mean: 3, deviation: 0 })
})

t.test('an empty list and values that are not numbers are rejected', async (t) => {
  for (const fn of [summarize, median, meanAndDeviation]) {
    t.throws(() => fn([]), { code: 'BYRE_ARGUMENT_INVALID', message: /got none/ })
    t.throws(() => fn([1, Number.NaN]), { code: 'BYRE_ARGUMENT_INVALID', message: /got NaN/ })
    t.throws(() => fn([Number.POSITIVE_INFINITY]), { message: /got Infinity/ })
  }
  for (const q of [-0.1, 1.1, Number.NaN]) t.throws(() => quantile([1], q), /between 0 and 1/)
})

t.test('a summary does not depend on the order of the runs and does not modify them', async () => {
  fc.assert(
    fc.property(runs, (values) => {
      const copy = [...values]
      const same = JSON.stringify(summarize(values)) === JSON.stringify(summarize(values.toReversed()))
      return same && copy.every((value, i) => Object.is(value, values[i]))
    }),
  )
})

t.test('min <= median <= max, and quantiles are monotonic', async () => {
  fc.assert(
    fc.property(
      runs,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, a, b) => {
        const { min, median: middle, max, mad: spread } = summarize(values)
        const [low, high] = [quantile(values, Math.min(a, b)), quantile(values, Math.max(a, b))]
        const slack = 1e-9 * Math.max(1, Math.abs(min), Math.abs(max))
        return (
          min <= middle &&
          middle <= max &&
          spread >= 0 &&
          low <= high + slack &&
          min <= low &&
          high <= max + slack
        )
      },
    ),
  )
})

t.test('equal runs have a spread of exactly 0', async () => {
  fc.assert(
    fc.property(finite, fc.integer({ min: 1, max: 9 }), (value, n) => {
      const { median: middle, mad: spread } = summarize(Array.from({ length: n }, () => value))
      return middle === value && spread === 0
    }),
  )
})

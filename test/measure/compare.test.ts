import t from 'tap'
import { compare, MIN_RUNS } from '../../src/measure/compare.ts'
import type { MeasureResult, RunResult } from '../../src/measure/result.ts'
import { measurementOf, runOf } from './results.ts'

const HOST = { host: 'a', cpuModel: 'm', cpus: 2, totalMemoryBytes: 8e9, kernel: '6.1', node: 'v20' }

/** A result with one run per value of `peaks`, in MB. */
function result(label: string, peaks: readonly number[], more: Partial<MeasureResult> = {}): MeasureResult {
  const runs = peaks.map((peak, i) => run(i + 1, peak))
  return measurementOf(runs, { label, host: HOST, loadAtStart: 0, ...more })
}

function run(number: number, megabytes: number): RunResult {
  return runOf('build', number, megabytes, {
    metrics: { peakBytes: megabytes * 1e6, wallMs: 1000 + number },
  })
}

const peak = (a: MeasureResult, b: MeasureResult) =>
  compare(a, b).rows.find((row) => row.metric === 'peakBytes')!
const A = [300, 302, 301, 299, 300]

t.test('clearly more is worse, clearly less is better, with the interval', async (t) => {
  const worse = peak(result('a', A), result('b', [400, 402, 399, 401, 400]))
  t.equal(worse.verdict, 'worse')
  t.ok(worse.interval!.lowRatio > 0.3 && worse.interval!.highRatio < 0.36, JSON.stringify(worse.interval))
  t.equal(peak(result('a', A), result('b', [200, 202, 199, 201, 200])).verdict, 'better')
})

t.test('equal results, and differences below the threshold, show no difference', async (t) => {
  t.equal(peak(result('a', A), result('b', A)).verdict, 'no difference shown')
  t.equal(
    peak(
      result('a', A),
      result(
        'b',
        A.map((x) => x + 3),
      ),
    ).verdict,
    'no difference shown',
    'one percent',
  )
  t.equal(
    peak(result('a', [300, 340, 290, 310, 350]), result('b', [320, 360, 300, 345, 310])).verdict,
    'no difference shown',
    'noise',
  )
})

t.test('no verdict with too few runs, for any difference', async (t) => {
  const few = A.slice(0, MIN_RUNS - 1)
  const row = peak(
    result('a', few),
    result(
      'b',
      few.map((x) => x * 2),
    ),
  )
  t.equal(row.verdict, 'no verdict')
  t.match(row.reason, /4 successful runs/)
})

t.test('a failed run does not count', async (t) => {
  const b = result('b', A)
  const runs = b.runs.map((one, i) => (i === 0 ? { ...one, ok: false } : one))
  t.equal(peak(result('a', A), { ...b, runs }).verdict, 'no verdict')
})

t.test('no verdict for another machine, kernel, Node or source of the peak', async (t) => {
  const double = A.map((x) => x * 2)
  for (const host of [
    { cpus: 4 },
    { kernel: '6.2' },
    { node: 'v22' },
    { totalMemoryBytes: 1 },
    { cpuModel: 'x' },
  ]) {
    const comparison = compare(result('a', A), result('b', double, { host: { ...HOST, ...host } }))
    t.equal(comparison.verdict, 'no verdict', JSON.stringify(host))
    t.match(comparison.obstacles[0], /the machines differ/)
  }
  const sampled = result('b', double)
  const runs = sampled.runs.map((one) => ({ ...one, peak: { ...one.peak, source: 'sampled' as const } }))
  t.equal(compare(result('a', A), { ...sampled, runs }).verdict, 'no verdict')
})

t.test('with a different load times have no verdict, memory has one', async (t) => {
  const comparison = compare(
    result('a', A),
    result(
      'b',
      A.map((x) => x * 2),
      { loadAtStart: 4 },
    ),
  )
  t.equal(comparison.rows.find((row) => row.metric === 'wallMs')!.verdict, 'no verdict')
  t.equal(comparison.verdict, 'worse')
})

t.test('two equal programs differ in fewer than one comparison of twenty', async (t) => {
  // Deterministic noise from a linear congruential generator.
  let state = 7
  const noise = (): number => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  }
  const draw = (): number[] => Array.from({ length: 5 }, () => 300 * (1 + 0.1 * (noise() + noise() - 1)))
  const wrong = Array.from(
    { length: 60 },
    () => peak(result('a', draw()), result('b', draw())).verdict,
  ).filter((verdict) => verdict !== 'no difference shown')
  t.ok(wrong.length <= 3, `${wrong.length} of 60 wrong`)
})

t.test('parts that only one result has are named', async (t) => {
  const a = result('a', A, {
    lanes: [
      { name: 'build', command: 'x' },
      { name: 'test', command: 'y' },
    ],
  })
  const withTest = { ...a, runs: [...a.runs, { ...run(1, 5), lane: 'test' }] }
  t.match(compare(withTest, result('b', A)).unmatched, [/test \(warm\) is only in a/])
})

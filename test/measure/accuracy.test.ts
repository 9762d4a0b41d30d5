// Accuracy of the figures: known amounts of memory, allocated in known ways.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { folderFor, noCgroup, runMeasure } from '../helpers/measure.ts'

leakGuard(t)

/** A perl script that allocates `bytes` (one vec() is one allocation, every page written) and then runs `then`. */
const hold = (bytes: number, then: string): string => `perl -e 'vec($x, ${bytes}, 8) = 1; ${then}'`
const wait = (ms: number): string => `select undef, undef, undef, ${ms / 1000}`
const within = (value: number | undefined, wanted: number, share: number): boolean =>
  value !== undefined && Math.abs(value - wanted) <= wanted * share

t.test(
  '300 MB allocated and freed in a grandchild are within 3 % by the cgroup',
  async (t): Promise<void> => {
    const line = `sh -c "dd if=/dev/zero of=/dev/null bs=300MB count=1; true"; true`
    const { result } = await runMeasure(['--json-only', line], folderFor(t))
    const skip = noCgroup(result)
    if (skip !== false) return void t.pass(`not possible here: ${skip}`)
    const { metrics } = result.runs[0]!
    t.ok(within(metrics.peakBytes, 300e6, 0.03), `peak ${metrics.peakBytes}`)
  },
)

t.test('300 MB held for 500 ms are within 5 % by sampling alone', async (t) => {
  const line = `sh -c "${hold(300e6, wait(500)).replaceAll('$', '\\$')}; true"; true`
  const { result } = await runMeasure(['--json-only', '--sampled', line], folderFor(t))
  const { metrics, peak } = result.runs[0]!
  t.equal(peak.source, 'sampled')
  t.ok(within(metrics.pssBytes, 300e6, 0.05), `PSS ${metrics.pssBytes}`)
  t.equal(metrics.peakBytes, metrics.pssBytes)
})

t.test('two concurrent children of 200 MB are 400 MB, by cgroup and by sampling', async (t) => {
  const folder = folderFor(t)
  // each waits for the other, so that both hold their memory at the same time
  const together = `open F, ">", "${folder}/$$.holds"; ${wait(10)} while (() = glob("${folder}/*.holds")) < 2; ${wait(1000)}`
  const one = hold(200e6, together)
  const { result } = await runMeasure(['--json-only', `${one} & ${one} & wait`], folder)
  const { metrics } = result.runs[0]!
  t.ok(within(metrics.peakBytes, 400e6, 0.05), `peak ${metrics.peakBytes}`)
  t.ok(within(metrics.pssBytes, 400e6, 0.05), `PSS ${metrics.pssBytes}`)
  t.ok(within(metrics.largestRssBytes, 200e6, 0.05), `the largest process alone ${metrics.largestRssBytes}`)
})

t.test('500 MB shared by 40 processes count once', async (t) => {
  const line = hold(
    500e6,
    `for (1 .. 39) { fork or do { ${wait(8000)}; exit } } ${wait(8000)}; 1 while wait > 0`,
  )
  // A reading of 40 such processes takes 0.2 s; at 2 s all of them exist.
  const { result } = await runMeasure(['--json-only', '--interval-ms', '6000', line], folderFor(t))
  const { metrics, sampling } = result.runs[0]!
  t.equal(sampling.mostProcesses, 41, 'the shell among them')
  t.ok(within(metrics.anonBytes, 500e6, 0.05), `anon ${metrics.anonBytes}`)
  t.ok(within(metrics.pssBytes, 500e6, 0.05), `PSS ${metrics.pssBytes}`)
  t.ok(metrics.rssBytes! > 15e9, `RSS counts it forty times: ${metrics.rssBytes}`)
  // Forty page tables for 500 MB are 40 MB of kernel memory, which the peak includes.
  t.ok(within(metrics.peakBytes, 500e6, 0.12), `peak ${metrics.peakBytes}`)
})

t.test(
  'by sampling alone they never count more than once, although the forty start during a reading',
  async (t) => {
    const line = hold(
      500e6,
      `for (1 .. 39) { fork or do { ${wait(8000)}; exit } } ${wait(8000)}; 1 while wait > 0`,
    )
    const { result } = await runMeasure(['--json-only', '--sampled', line], folderFor(t))
    const { metrics, sampling, notes } = result.runs[0]!
    const uncertain = sampling.pssUncertainBytes!
    t.ok(metrics.pssBytes! <= 1.05 * 500e6 + uncertain, `PSS ${metrics.pssBytes}, uncertain by ${uncertain}`)
    // A sample may miss processes that start during it; one with all forty has all of their memory.
    if (sampling.mostProcesses === 41)
      t.ok(
        metrics.pssBytes! >= 0.95 * 500e6 - uncertain,
        `PSS ${metrics.pssBytes}, uncertain by ${uncertain}`,
      )
    t.equal(
      notes.some((note) => /may be off by/.test(note)),
      uncertain > 0.02 * metrics.pssBytes!,
    )
  },
)

// Who is behind the growth of the shared loop: a worker, nobody in particular, or nobody V8 could tell.
import t from 'tap'
import { blame, KEPT_MIN_BYTES } from '../../../src/watch/memory/blame.ts'

const MB = 1e6
const nobody = { kind: 'nobody' }
const CASES: readonly [
  law: string,
  total: number,
  shares: readonly number[],
  grew: number,
  expected: object,
][] = [
  [
    'it kept most of what was allocated and what the process grew by',
    40 * MB,
    [30 * MB, 10 * MB],
    42 * MB,
    { kind: 'worker', worker: 'w0', keptBytes: 30 * MB },
  ],
  ['it kept less than half', 40 * MB, [19 * MB, 12 * MB], 40 * MB, nobody],
  [
    'it kept next to nothing while the process grew: Buffers',
    2 * MB,
    [2 * MB],
    100 * MB,
    { kind: 'outside' },
  ],
  ['it kept most of what V8 knows, but less than half of the growth', 12 * MB, [9 * MB], 20 * MB, nobody],
  ['the loop did not grow any more', KEPT_MIN_BYTES - 1, [KEPT_MIN_BYTES - 1], -5 * MB, nobody],
  ['a few samples are chance', KEPT_MIN_BYTES - 1, [KEPT_MIN_BYTES - 1], KEPT_MIN_BYTES - 1, nobody],
  ['nobody kept anything', 0, [], 0, nobody],
]

for (const [law, totalBytes, shares, grewBytes, expected] of CASES)
  t.test(law, async (t) => {
    const workers = shares.map((self, i) => ({ worker: `w${i}`, self }))
    t.same(blame({ totalBytes, workers, grewBytes }), expected)
  })

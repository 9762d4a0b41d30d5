// What causes the growth of the shared loop: one worker, none in particular, or memory outside V8's heap.
import t from 'tap'
import { blame, KEPT_MIN_BYTES } from '../../../src/watch/memory/growth.ts'

const MB = 1e6
const none = { kind: 'none' }
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
  ['it kept less than half', 40 * MB, [19 * MB, 12 * MB], 40 * MB, none],
  [
    'it kept next to nothing while the process grew: Buffers',
    2 * MB,
    [2 * MB],
    100 * MB,
    { kind: 'outside' },
  ],
  ['it kept most of the V8 heap, but less than half of the growth', 12 * MB, [9 * MB], 20 * MB, none],
  ['the loop no longer grows', KEPT_MIN_BYTES - 1, [KEPT_MIN_BYTES - 1], -5 * MB, none],
  ['a few samples prove nothing', KEPT_MIN_BYTES - 1, [KEPT_MIN_BYTES - 1], KEPT_MIN_BYTES - 1, none],
  ['no worker kept anything', 0, [], 0, none],
]

for (const [law, totalBytes, shares, grewBytes, expected] of CASES)
  t.test(law, async (t) => {
    const workers = shares.map((self, i) => ({ worker: `w${i}`, self }))
    t.same(blame({ totalBytes, workers, grewBytes }), expected)
  })

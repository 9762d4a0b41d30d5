// When a variant has another round, the most rounds it can have, and what another round cannot change.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Judged } from '../../src/measure/matrix.ts'
import { judgeMatrix, parseMatrix, undecided } from '../../src/measure/matrix.ts'
import type { MeasureResult } from '../../src/measure/result.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { BIN, folderFor } from '../helpers/measure.ts'
import { measurementOf, runOf } from './results.ts'

leakGuard(t)

/** Median 10 % below the baseline's 40, with too wide a spread for a significant difference. */
const UNSURE = [36, 36, 36, 60, 60]
const SURE = [20, 20, 20, 20, 20]
const matrixOf = (retries?: number) =>
  parseMatrix({ retries, baseline: { command: 'b' }, variants: [{ name: 'v', flags: '-x' }] }, 'f')
const round = (values: readonly number[], more = {}): MeasureResult =>
  measurementOf([
    ...values.map((_, i) => runOf('baseline', i + 1, 40)),
    ...values.map((megabytes, i) => runOf('v', i + 1, megabytes, more)),
  ])

t.test('a better median without significance gets another round, at most three', async (t) => {
  const rounds = [round(UNSURE)]
  for (let retry = 1; retry <= 3; retry++) {
    t.same(undecided(matrixOf(), rounds), ['v'], `retry ${retry}`)
    rounds.push(round(UNSURE))
  }
  t.same(undecided(matrixOf(), rounds), [], 'no fourth')
  t.match(judgeMatrix(matrixOf(), rounds), [{ decision: 'discarded', rounds: 4 }])
  t.same(undecided(matrixOf(0), [round(UNSURE)]), [], 'none when none is asked for')
})

t.test('a significantly better, not better or worse variant gets no further round', async (t) => {
  for (const values of [SURE, [40, 40, 40, 40, 40], [90, 90, 90, 90, 90]])
    t.same(undecided(matrixOf(), [round(values)]), [], values.join())
})

t.test('a later round can decide', async (t) => {
  const rounds = [round(UNSURE), round(SURE), round(SURE)]
  t.match(judgeMatrix(matrixOf(), rounds), [{ decision: 'kept', rounds: 3 }])
})

t.test('a variant that fails to verify in one run is no gain and gets no further round', async (t) => {
  const verify = [{ what: 'dist/main.js', ok: false, found: 'missing' }]
  const rounds = [round(UNSURE), round(SURE, { ok: false, verify })]
  t.match(judgeMatrix(matrixOf(), rounds), [
    { decision: 'failed', why: '--verify dist/main.js: missing', isOnFront: false },
  ])
  t.same(undecided(matrixOf(), rounds), [])
})

t.test('the command runs further rounds only with undecided variants', async (t) => {
  const cwd = folderFor(t)
  // The size cycles through the five values; their order does not affect the median.
  const line = `n=$(cat n 2>/dev/null || echo 0); if [ -n "$WIDE" ]; then echo $((n + 1)) > n; set -- ${UNSURE.map((mb) => mb * 1e6).join(' ')}; shift $((n % 5)); else set -- \${SIZE:-40000000}; fi; perl -e 'vec($x, $ARGV[0], 8) = 1; select undef, undef, undef, 0.08' $1`
  writeFileSync(
    join(cwd, 'm.json'),
    JSON.stringify({
      metric: 'anonBytes',
      baseline: { command: line },
      variants: [
        { name: 'wide', env: { WIDE: '1' } },
        { name: 'half', env: { SIZE: '20000000' } },
      ],
    }),
  )
  const done = await runCleanNode([BIN, 'measure', '--label', 'm', '--matrix', 'm.json'], {
    cwd,
    timeoutMs: 120_000,
  })
  t.equal(done.code, 0, done.stderr)
  const { judged } = JSON.parse(/RESULT\] (.*)/.exec(done.stdout)![1]!) as { judged: Judged[] }
  t.same(
    judged.map((one) => [one.variant.name, one.decision, one.rounds]),
    [
      ['half', 'kept', 1],
      ['wide', 'discarded', 4],
    ],
    done.stdout,
  )
  const { results } = JSON.parse(readFileSync(join(cwd, '.byre/measure/matrix-m.json'), 'utf8')) as {
    results: MeasureResult[]
  }
  t.same(
    results.map((result) => result.lanes.map((lane) => lane.name)),
    [['baseline', 'wide', 'half'], ...Array.from({ length: 3 }, () => ['baseline', 'wide'])],
  )
})

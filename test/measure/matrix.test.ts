import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Judged } from '../../src/measure/matrix.ts'
import { parseMatrix } from '../../src/measure/matrix.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { BIN, folderFor } from '../helpers/measure.ts'

leakGuard(t)

const base = { baseline: { command: 'build' } }

t.test('a variant changes one thing: a variable, flags or the command', async (t) => {
  const read = (variant: object) =>
    parseMatrix({ ...base, variants: [{ name: 'v', ...variant }] }, 'f').variants[0]
  t.match(read({ env: { A: '1' } }), { change: 'A=1', command: 'build', env: { A: '1' } })
  t.match(read({ flags: '--x' }), { change: '+ --x', command: 'build --x' })
  t.match(read({ command: 'other' }), { change: 'other', command: 'other' })
  for (const bad of [
    {},
    { env: { A: '1', B: '2' } },
    { env: { A: '1' }, flags: '-x' },
    { command: 'a', flags: '-x' },
  ])
    t.throws(
      () => read(bad),
      { code: 'BYRE_USAGE', message: /variants\[0\]: must change exactly one thing/ },
      JSON.stringify(bad),
    )
})

t.test('all problems of the file are reported together', async (t) => {
  const bad = {
    metric: 'size',
    runs: 2,
    retries: 9,
    baseline: {},
    variants: [{ name: 'baseline', flags: '-x' }],
    x: 1,
  }
  t.throws(() => parseMatrix(bad, 'f.json'), {
    message:
      /f\.json: 6 problems[^]*x: is an unknown key[^]*metric[^]*baseline\.command[^]*'baseline' is already in use[^]*runs[^]*retries/,
  })
})

t.test('better variants are kept, others stay in the table, unverified ones are no gain', async (t) => {
  const cwd = folderFor(t)
  const hold = `perl -e 'vec($x, $ENV{SIZE}, 8) = 1; open F, ">", "done"; print F 1 unless $ENV{LAZY}; select undef, undef, undef, 0.08'`
  writeFileSync(
    join(cwd, 'm.json'),
    JSON.stringify({
      metric: 'anonBytes',
      retries: 0,
      verify: ['done'],
      baseline: { command: `SIZE=\${SIZE-40000000} ${hold}` },
      variants: [
        { name: 'half', env: { SIZE: '20000000' } },
        { name: 'same', env: { OTHER: '1' } },
        { name: 'double', env: { SIZE: '80000000' } },
        { name: 'broken', command: `SIZE=1000000 LAZY=1 ${hold}` },
      ],
    }),
  )
  const done = await runCleanNode([BIN, 'measure', '--label', 'm', '--matrix', 'm.json'], {
    cwd,
    timeoutMs: 60_000,
  })
  t.equal(done.code, 0, done.stderr)
  const { judged } = JSON.parse(/RESULT\] (.*)/.exec(done.stdout)![1]!) as { judged: Judged[] }
  t.same(
    judged.map((one) => `${one.variant.name} ${one.decision}`),
    ['half kept', 'same discarded', 'double discarded', 'broken failed'],
    done.stdout,
  )
  t.match(judged[3]!.why, /--verify done/)
  const table = readFileSync(join(cwd, '.byre/measure/matrix-m.md'), 'utf8')
  for (const name of ['half', 'same', 'double', 'broken']) t.match(table, new RegExp(`\\| ${name} \\|`))
})

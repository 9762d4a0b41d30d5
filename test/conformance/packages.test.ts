// What the tests of a package say plainly and hosted, and the runner that lets them say it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { script } from './script.ts'

interface Run {
  tests: Map<string, { state: string; error?: string }>
  ended: boolean
  problem?: string
}
interface Comparison {
  of: number
  passed: number
  aloneOnly: string[]
  differences: { test: string; error: string }[]
}
interface Compare {
  readRun: (text: string, problem?: string) => Run
  notPassed: (runs: readonly Run[]) => string[]
  compareFile: (plain: readonly Run[], hosted: readonly Run[]) => Comparison
  sumUp: (files: Map<string, Comparison>) => object
  differenceLines: (differences: readonly { test: string; error: string }[]) => string[]
}
const { readRun, notPassed, compareFile, sumUp, differenceLines } =
  await script<Compare>('packages/compare.mjs')

const states = { p: 'passed', f: 'failed', s: 'pending' } as const

/** `run('pfs')`: the test t0 passed, t1 failed, t2 was skipped; `-` was not reported. */
function run(letters: string, { ended = true, problem }: { ended?: boolean; problem?: string } = {}): Run {
  const lines = letters
    .split('')
    .flatMap((letter, i) =>
      letter === '-'
        ? []
        : [{ test: `t${i}`, state: states[letter as 'p'], ...(letter === 'f' ? { error: 'no' } : {}) }],
    )
  const end = ended ? ['{"ended":true}'] : []
  return readRun([...lines.map((line) => JSON.stringify(line)), ...end].join('\n'), problem)
}

t.test('of several reports about a test the last one counts', async (t) => {
  const { tests } = readRun('{"test":"a","state":"passed"}\n{"test":"a","state":"failed","error":"late"}\n')
  t.same(tests.get('a'), { state: 'failed', error: 'late' })
})

t.test('what passes in every plain run is counted, and passes hosted in any hosted run', async (t) => {
  const cases: [string, Run[], Run[], number, number, string[], string[]][] = [
    ['all alike', [run('pp'), run('pp')], [run('pp')], 2, 2, [], []],
    ['plainly by chance', [run('pf'), run('pp')], [run('pf')], 1, 1, [], []],
    ['skipped plainly', [run('ps'), run('ps')], [run('ps')], 1, 1, [], []],
    ['fails hosted', [run('pp'), run('pp')], [run('pf'), run('pf')], 2, 1, [], ['t1: no']],
    ['not reached', [run('pp'), run('pp')], [run('p-'), run('p-')], 2, 1, [], ['t1: did not run']],
    ['skipped hosted', [run('pp'), run('pp')], [run('ps'), run('ps')], 2, 1, [], ['t1: pending']],
    ['passes alone', [run('pp'), run('pp')], [run('pf'), run('pp')], 2, 2, ['t1'], []],
    ['fails plainly the third time', [run('pp'), run('pp'), run('pf')], [run('pf')], 1, 1, [], []],
  ]
  for (const [what, plain, hosted, of, passed, aloneOnly, differences] of cases) {
    const comparison = compareFile(plain, hosted)
    t.match(comparison, { of, passed }, what)
    t.same(comparison.aloneOnly, aloneOnly, `${what}: alone`)
    t.same(
      comparison.differences.map(({ test, error }) => `${test}: ${error}`),
      differences,
      `${what}: differences`,
    )
  }
})

t.test('what is wrong with every hosted run is a difference, unless it is so plainly', async (t) => {
  const problem = 'threw-stray: Oops'
  const plain = [run('p'), run('p')]
  const bad = run('p', { problem })
  t.same(compareFile(plain, [bad, bad]).differences, [{ test: '(the run)', error: problem }])
  t.same(compareFile(plain, [bad, run('p')]).differences, [])
  t.same(compareFile(plain, [run('p', { ended: false })]).differences, [
    { test: '(the run)', error: 'did not end' },
  ])
  const open = run('p', { ended: false })
  t.same(compareFile([open, open], [open]).differences, [])
})

t.test('the hosted run leaves out what did not pass plainly', async (t) => {
  t.same(notPassed([run('pfs-'), run('pppp')]), ['t1', 't2', 't3'])
  t.same(notPassed([]), [])
})

t.test('a package is the sum of its files', async (t) => {
  const files = new Map([
    ['a.js', { of: 3, passed: 2, aloneOnly: ['x'], differences: [{ test: 'y', error: 'no' }] }],
    ['b.js', { of: 1, passed: 1, aloneOnly: [], differences: [] }],
  ])
  t.same(sumUp(files), {
    passed: 3,
    of: 4,
    files: 2,
    aloneOnly: [{ file: 'a.js', test: 'x' }],
    differences: [{ file: 'a.js', test: 'y', error: 'no' }],
  })
})

t.test('tests that a run did not come to are one line', async (t) => {
  const missed = ['a', 'b'].map((test) => ({ test, error: 'did not run' }))
  t.same(differenceLines([{ test: 'x', error: 'no' }, ...missed]), [
    'x: no',
    '2 tests did not run, the first: a',
  ])
})

const WORKERS = '../../../scripts/conformance-lib/workers'
const worker = (name: string): string => fileURLToPath(new URL(`${WORKERS}/${name}`, import.meta.url))

t.test('node:test says of each test, also of those in others, whether it passes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'byre-suite-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(
    join(folder, 'some.test.mjs'),
    `import { test } from 'node:test'
test('passes', () => {})
test('passes', () => {})
test('fails', () => { throw new Error('on purpose') })
test('outer', async (t) => { await t.test('inner', () => {}) })
test('later', () => new Promise((resolve) => setTimeout(resolve, 500)))
test('skipped', { skip: true }, () => {})
`,
  )
  const results = join(folder, 'results.jsonl')
  const config = { runner: 'node:test', folder, file: 'some.test.mjs', results }
  const reporter = ['--test-reporter', worker('node-test-reporter.mjs'), '--test-reporter-destination=stdout']
  const child = spawn(process.execPath, [...reporter, worker('plain-suite.mjs'), JSON.stringify(config)], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'] },
  })
  t.teardown(() => child.kill('SIGKILL'))
  t.same(await once(child, 'exit'), [0, null])
  const { tests, ended } = readRun(readFileSync(results, 'utf8'))
  t.same(
    [...tests].map(([name, { state, error }]) => `${name}: ${error ?? state}`),
    [
      'passes: passed',
      'passes (2): passed',
      'fails: on purpose',
      'outer > inner: passed',
      'outer: passed',
      'later: passed',
      'skipped: pending',
    ],
  )
  t.ok(ended)
})

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { script } from './script.ts'

interface Rule {
  kind: string
  reason: string
}
interface Failure {
  file: string
  placement: string
  evidence: string
  test?: string
}
interface ReasonsModule {
  parseReasons: (text: string) => { kinds: string[]; rules: Rule[] }
  explain: (reasons: object, failure: Failure) => Rule | undefined
}
interface ReportModule {
  report: (input: { node: object[]; packages: object[]; reasons: object }) => {
    markdown: string
    unexplained: Failure[]
    unused: string[]
  }
}
interface Command {
  reportCommand: (options: object, output: { root: string; note: (line: string) => void }) => boolean
}
interface Gate {
  gateLine: (
    number: number,
    placement: string,
    summary: object,
    floor?: number,
  ) => { ok: boolean; line: string }
  skippedLine: (why: string) => string
}
const { parseReasons, explain } = await script<ReasonsModule>('reasons.mjs')
const { report } = await script<ReportModule>('report.mjs')
const { reportCommand } = await script<Command>('report-command.mjs')
const { gateLine, skippedLine } = await script<Gate>('gate.mjs')

const reasons = parseReasons(
  JSON.stringify({
    version: 1,
    kinds: [
      {
        kind: 'refused',
        reasons: [
          { files: ['parallel/test-chdir*.js'], placements: ['shared'], reason: 'It leaves its folder.' },
          { files: ['*'], evidence: 'ERR_UMASK', reason: 'It sets the umask.' },
          { files: ['ws:test/a.js'], tests: ['throws *'], reason: 'It throws.' },
        ],
      },
      { kind: 'never seen', reasons: [{ files: ['none'], reason: 'It was mended.' }] },
    ],
  }),
)

t.test('a reason fits by file, placement, evidence and test', async (t) => {
  const failure = { file: 'parallel/test-x.js', placement: 'shared', evidence: 'Error' }
  const cases: [string, Failure, string | undefined][] = [
    ['file', { ...failure, file: 'parallel/test-chdir-2.js' }, 'It leaves its folder.'],
    ['placement', { ...failure, file: 'parallel/test-chdir-2.js', placement: 'thread' }, undefined],
    ['evidence', { ...failure, evidence: 'Error: ERR_UMASK' }, 'It sets the umask.'],
    ['test', { ...failure, file: 'ws:test/a.js', test: 'throws early' }, 'It throws.'],
    ['another test', { ...failure, file: 'ws:test/a.js', test: 'returns' }, undefined],
    ['a dot is a dot', { ...failure, file: 'parallel/test-chdirXjs' }, undefined],
  ]
  for (const [what, one, expected] of cases) t.equal(explain(reasons, one)?.reason, expected, what)
})

t.test('a reason that cannot be used is refused by name', async (t) => {
  const parse = (entry: object) => () =>
    parseReasons(JSON.stringify({ kinds: [{ kind: 'k', reasons: [entry] }] }))
  t.throws(parse({ reason: 'Why.' }), { message: /'k' needs files/ })
  t.throws(parse({ files: ['a'], reason: 'no full stop' }), { message: /one sentence/ })
  t.throws(parse({ files: ['a'], reason: 'Why.', file: 'b' }), { message: /unknown key 'file'/ })
})

t.test('the reasons of the project can be used', async (t) => {
  const url = new URL('../../../scripts/conformance-lib/reasons.json', import.meta.url)
  t.doesNotThrow(() => parseReasons(readFileSync(url, 'utf8')))
})

const shared = {
  node: 'v20.1.0',
  tests: '20.1.0',
  passed: 8,
  of: 10,
  rate: 0.8,
  dropped: 1,
  families: { timers: { passed: 3, of: 5 }, net: { passed: 5, of: 5 } },
  failures: {
    'parallel/test-chdir-a.js': { verdict: 'failed', evidence: 'refused' },
    'parallel/test-timers-x.js': { verdict: 'timeout', evidence: '' },
  },
}
const ws = {
  version: '8.0.0',
  source: 'ws@8.0.0',
  runner: 'mocha',
  node: 'v20.1.0',
  passed: 9,
  of: 10,
  rate: 0.9,
  files: 1,
  aloneOnly: [],
  differences: [{ file: 'test/a.js', test: 'throws | early', error: 'Oops' }],
}

t.test('each failure has a row with its reason, and one without is unexplained', async (t) => {
  const { markdown, unexplained, unused } = report({
    node: [{ placements: { shared } }],
    packages: [{ packages: { ws } }],
    reasons,
  })
  const lines = markdown.split('\n')
  for (const row of [
    '| passes hosted | 80.0 % |',
    '| `timers` | 3 of 5 |',
    '| `net` | 5 |',
    '| `parallel/test-chdir-a.js` | shared (20) | It leaves its folder. |',
    '| `parallel/test-timers-x.js` | shared (20) | unexplained: timeout |',
    '| `ws:test/a.js`: throws \\| early | shared (20) | It throws. |',
    '| ws 8.0.0 | ws@8.0.0 | mocha | 10 | 9 |  | 90.0 % |',
  ])
    t.ok(lines.includes(row), row)
  t.same(
    unexplained.map(({ file }) => file),
    ['parallel/test-timers-x.js'],
  )
  t.same(unused, ['It sets the umask.', 'It was mended.'])
})

t.test('files that fail in the same two places for one reason are one row', async (t) => {
  const { markdown } = report({
    node: [{ placements: { process: shared, shared } }],
    packages: [],
    reasons: parseReasons(
      JSON.stringify({ kinds: [{ kind: 'k', reasons: [{ files: ['*'], reason: 'So.' }] }] }),
    ),
  })
  t.match(
    markdown,
    '| `parallel/test-chdir-a.js`, `parallel/test-timers-x.js` | process (20), shared (20) | So. |\n',
  )
})

t.test('the page is written of what was saved, and the command fails when a reason is missing', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'byre-report-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  mkdirSync(join(root, 'docs/perf'), { recursive: true })
  const save = (failures: object): void =>
    writeFileSync(
      join(root, 'docs/perf/conformance-node20.json'),
      JSON.stringify({ placements: { shared: { ...shared, failures } } }),
    )
  const notes: string[] = []
  const run = (): boolean => reportCommand({}, { root, note: (line) => notes.push(line) })
  save({})
  t.equal(run(), true)
  t.match(readFileSync(join(root, 'docs/conformance.md'), 'utf8'), '### On Node 20.1.0, tests of Node 20.1.0')
  save({ 'parallel/test-no-such-file.js': { verdict: 'failed', evidence: 'Oops' } })
  t.equal(run(), false)
  t.match(notes.at(-1), /^1 failures have no reason in /)
})

t.test('the gate holds from its floor up, and never when nothing was counted', async (t) => {
  const cases: [number, number, number, boolean][] = [
    [57, 60, 0.95, true],
    [56, 60, 0.95, false],
    [60, 60, 0.99, true],
    [59, 60, 0.99, false],
    [0, 0, 0.88, false],
  ]
  for (const [passed, of, floor, holds] of cases) {
    const rate = of === 0 ? 0 : passed / of
    const { ok, line } = gateLine(2, 'shared', { passed, of, rate, seconds: 9 }, floor)
    t.equal(ok, holds, `${passed} of ${of} against ${floor}`)
    t.match(line, holds ? /^ok 2 - / : /^not ok 2 - /)
    t.match(line, `in shared: ${passed} of ${of}, `)
  }
})

t.test('without sources the gate is one skipped test with the reason', async (t) => {
  t.equal(skippedLine('no\nmirror'), "ok 1 - Node's own tests # SKIP their sources cannot be had: no mirror")
})

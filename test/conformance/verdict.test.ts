import t from 'tap'
import { script } from './script.ts'

interface LogLine {
  event?: string
  level?: number
  msg?: string
  to?: string
  stream?: string
  kind?: string
  verdict?: string
}
interface Result {
  ok: boolean
  verdict: string
  touched?: string[]
}
interface Verdict {
  newRecord: () => { output: string; warnings: string[]; neighbour: string[]; ended: boolean }
  noteLine: (record: object, line: LogLine) => void
  judge: (record: object) => Result
  evidenceOf: (result: object) => string
}
interface Results {
  summarize: (
    results: Map<string, object>,
    options: { seconds: number; root: string },
  ) => {
    passed: number
    of: number
    rate: number
    dropped: number
    families: Record<string, { passed: number; of: number }>
    failures: Record<string, { verdict: string; evidence: string }>
  }
  rateLine: (placement: string, summary: object) => string
  familyLines: (summary: object) => string[]
}
const { newRecord, noteLine, judge, evidenceOf } = await script<Verdict>('verdict.mjs')
const { summarize, rateLine, familyLines } = await script<Results>('results.mjs')

const DORMANT = { event: 'transition', to: 'dormant', level: 30 }
const exit = (verdict: string): LogLine => ({ event: 'exit', verdict, level: 30, msg: 'why' })

function judged(lines: readonly LogLine[], neighbour: readonly string[] = []): Result {
  const record = newRecord()
  for (const line of lines) noteLine(record, line)
  record.neighbour.push(...neighbour)
  return judge(record)
}

t.test('a run passes when it is done and nothing was wrong beside it', async (t) => {
  const cases: [string, Result, string][] = [
    ['an end without a verdict', judged([DORMANT]), 'done'],
    ['the verdict done', judged([exit('done'), DORMANT]), 'done'],
    ['a failure', judged([exit('failed'), DORMANT]), 'failed'],
    ['no end', judged([]), 'unknown'],
    ['a complaint of the neighbour', judged([DORMANT], ['late']), 'neighbour'],
    ['a warning', judged([{ event: 'strange', level: 40, msg: 'odd' }, DORMANT]), 'done'],
    ['a documented warning', judged([{ event: 'leftovers', level: 40, msg: 'a timer' }, DORMANT]), 'done'],
    ['a fact', judged([{ event: 'control', level: 50, msg: 'woken' }, DORMANT]), 'done'],
  ]
  const passing = ['an end without a verdict', 'the verdict done', 'a documented warning', 'a fact']
  for (const [what, { ok, verdict }, expected] of cases) {
    t.equal(verdict, expected, what)
    t.equal(ok, passing.includes(what), `${what}: ${passing.includes(what) ? 'passes' : 'fails'}`)
  }
})

t.test('what was touched is noted and is no failure', async (t) => {
  const result = judged([{ event: 'process-touched', kind: 'chdir', level: 40, msg: 'x' }, DORMANT])
  t.match(result, { ok: true, touched: ['chdir'] })
})

t.test('the evidence is one line that says why', async (t) => {
  const output = 'some text\nAssertionError [ERR_ASSERTION]: 1 == 2\n    at here\n'
  t.equal(
    evidenceOf({ verdict: 'failed', why: 'run rejected', output }),
    'run rejected; AssertionError [ERR_ASSERTION]: 1 == 2',
  )
  t.equal(evidenceOf({ verdict: 'neighbour', neighbour: ['late by 3 s'] }), 'late by 3 s')
  t.equal(evidenceOf({ verdict: 'done', warnings: ['strange: odd'] }), 'strange: odd')
})

t.test('a rate counts what was not left out', async (t) => {
  const failure = { ok: false, verdict: 'failed', why: 'see /src/node/test/x.js', output: '' }
  const results = new Map<string, object>([
    ['parallel/test-timers.js', { ok: true }],
    ['parallel/test-timers-b.js', failure],
    ['parallel/test-net.js', { ok: true }],
    ['parallel/test-net-b.js', { ...failure, dropped: true }],
  ])
  const summary = summarize(results, { seconds: 3, root: '/src/node' })
  t.match(summary, { passed: 2, of: 3, rate: 0.6667, dropped: 1 })
  t.same(summary.families, { timers: { passed: 1, of: 2 }, net: { passed: 1, of: 1 } })
  t.same(summary.failures, {
    'parallel/test-timers-b.js': { verdict: 'failed', evidence: 'see test/x.js' },
  })
  t.equal(
    rateLine('shared', summary),
    'shared: 2 of 3 (66.7 %); 1 more skip themselves, or fail plainly here as well',
  )
  t.same(familyLines(summary), ['  timers                1 of 2'], 'only families that are not whole')
})

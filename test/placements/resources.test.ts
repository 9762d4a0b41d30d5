// ctx.use of a module of its own: one value for the herd, the same answers in every placement and under `byre run`.
import t from 'tap'
import type { Test } from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { EXPECTED, FILES, ROWS } from './resource-rows.ts'

leakGuard(t)
t.jobs = 2

const PLACES = ['shared', 'thread', 'process'] as const

const WORKER = `
import { outcome, rows } from '../lib/rows.mjs'
export async function run(ctx) {
  for (const [row, ask] of Object.entries(rows)) ctx.log.info({ row, outcome: await outcome(ask, ctx) }, row)
  ctx.log.info({ event: 'asked', pid: process.pid }, 'asked')
}`

const IDLE = `export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))`

const HERD = { ...FILES, 'lib/rows.mjs': ROWS }

/** What came of each row, the worker's name left out. */
function outcomesOf(herd: Herd, worker: string): Record<string, unknown> {
  const rows = herd.matching({ worker, row: /./ })
  return Object.fromEntries(
    rows.map(({ row, outcome }) => [
      String(row),
      JSON.parse(JSON.stringify(outcome).replaceAll(`'${worker}'`, "'W'")) as unknown,
    ]),
  )
}

async function answers(t: Test, herd: Herd, worker: string): Promise<Record<string, unknown>> {
  await herd.line({ worker, event: 'asked' })
  const found = outcomesOf(herd, worker)
  for (const [row, expected] of Object.entries(EXPECTED)) t.match(found[row], expected, `${worker}: ${row}`)
  t.same(Object.keys(found), Object.keys(EXPECTED), 'every row was asked, and none besides')
  t.match(found['here'], { value: { pid: herd.pid } }, 'it lives in the process of the supervisor')
  return found
}

t.test('what a resource answers, and what it refuses, is the same in every placement', async (t) => {
  const seen = await Promise.all(
    ([...PLACES, 'run'] as const).map(async (placement) => {
      const herd = await startHerd(t, {
        workers: { w: WORKER, sibling: IDLE },
        files: HERD,
        config: { workers: { w: { ...(placement === 'run' ? {} : { placement }), restart: 'never' } } },
        ...(placement === 'run' ? { run: 'w', ready: false } : {}),
      })
      const { here: _here, ...found } = await answers(t, herd, 'w')
      await herd.line({
        event: 'resource-error',
        resource: 'db.mjs',
        message: 'in the timer of the resource',
      })
      await herd.line({ event: 'resource-exit', resource: 'db.mjs', code: 7 })
      t.match(await herd.line({ event: 'leftovers', resource: 'rejects.mjs' }), {
        timers: ['setInterval(ofTheFailed)'],
      })
      await herd.line({ stream: 'stdout', resource: 'db.mjs', msg: /^disposed after / })
      await herd.line({ stream: 'stdout', resource: 'number.mjs', msg: 'disposed of the number 42' })
      await herd.line({ event: 'dispose-failed', resource: 'never.mjs', message: /create has not ended/ })
      if (placement === 'run') t.same(await herd.exit(), { code: 0, signal: null })
      else {
        t.match(await herd.untilWorker('w', (w) => w.state === 'stopped'), { lastExit: { verdict: 'done' } })
        t.match(await herd.worker('sibling'), { restarts: 0, failures: 0, state: 'running' })
        t.same(await herd.stop(), { code: 0, signal: null })
      }
      return withoutFolder(found)
    }),
  )
  for (const other of seen.slice(1)) t.same(other, seen[0])
})

const COUNTS = `
export async function run(ctx) {
  const db = await ctx.use({ key: 'db', module: new URL('../lib/db.mjs', import.meta.url) })
  ctx.log.info({ event: 'counted', count: await db.count(), ...(await db.here()) }, 'counted')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
t.test(
  'workers of different placements share one instance, released with the last of them, also by kill -9',
  async (t) => {
    const herd = await startHerd(t, {
      workers: { a: COUNTS, b: COUNTS, c: COUNTS },
      files: FILES,
      config: {
        workers: {
          b: { placement: 'thread', after: ['a'] },
          c: { placement: 'process', after: ['b'], restart: 'never' },
        },
      },
    })
    for (const worker of ['a', 'b', 'c']) {
      const { pid, main, made } = await herd.line({ worker, event: 'counted' })
      t.same({ pid, main, made }, { pid: herd.pid, main: true, made: 1 }, worker)
    }
    const counts = herd.matching({ event: 'counted' }).map(({ count }) => count)
    t.same(
      counts.toSorted((a, b) => Number(a) - Number(b)),
      [1, 2, 3],
      'one counter',
    )
    await herd.act('a', 'stop')
    await herd.act('b', 'stop')
    for (const worker of ['a', 'b']) await herd.untilWorker(worker, (w) => w.state === 'stopped')
    t.same(herd.matching({ resource: 'db' }), [], 'c still holds it')
    const { pid } = await herd.worker('c')
    process.kill(pid as number, 'SIGKILL')
    t.ok(await herd.line({ stream: 'stdout', resource: 'db', msg: 'disposed after 3' }))
    const from = herd.mark()
    await herd.act('b', 'start')
    t.match(
      await herd.line({ worker: 'b', event: 'counted' }, from),
      { count: 1, made: 2 },
      'the next use makes it anew',
    )
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

/** Its first run leaves `first` calls of `length` characters behind and throws, its next one makes `more`. */
const leavesCalls = (first: number, more: number, length: number): string => `
export async function run(ctx) {
  const db = await ctx.use({ key: 'db', module: new URL('../lib/db.mjs', import.meta.url) })
  const wait = () => db.wait('x'.repeat(${length}))
  if ((await db.tell(ctx.name)) === 1) {
    for (let i = 0; i < ${first}; i++) wait().catch(() => {}) // cut off by the end of the run
    void db.fail()
  } else {
    const calls = Array.from({ length: ${more} }, () => wait().then(() => 'answered', ({ code }) => code))
    ctx.log.info({ event: 'refused', code: await Promise.race(calls) }, 'refused')
  }
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

for (const placement of PLACES)
  t.test(
    `in ${placement} what nobody catches of a call is the worker's, and what hangs counts for its next run`,
    async (t) => {
      const herd = await startHerd(t, {
        workers: {
          many: leavesCalls(200, 57, 0),
          large: leavesCalls(12, 5, 1_000_000),
          keeper: COUNTS,
        },
        files: FILES,
        config: {
          workers: {
            many: { placement, backoff: { first: '0s' }, after: ['keeper'] },
            large: { placement, backoff: { first: '0s' }, after: ['keeper'] },
          },
        },
      })
      for (const name of ['many', 'large']) {
        const { lastExit } = await herd.untilWorker(name, (w) => w.lastExit !== undefined)
        t.match(lastExit, {
          verdict: 'threw-stray',
          evidence: { type: /^(RangeError|Error)$/, message: 'no such row' },
        })
        t.match(await herd.line({ worker: name, event: 'refused' }), { code: 'BYRE_RESOURCE_BUSY' }, name)
      }
      t.match(await herd.worker('keeper'), { restarts: 0, failures: 0, state: 'running' })
      t.same(await herd.stop(), { code: 0, signal: null })
    },
  )

t.test(
  'a call under way when its worker moves is given up with the run; the next run uses the same value',
  async (t) => {
    const herd = await startHerd(t, {
      workers: {
        w: `
export async function run(ctx) {
  const db = await ctx.use({ key: 'db', module: new URL('../lib/db.mjs', import.meta.url) })
  ctx.log.info({ event: 'counted', count: await db.count(), own: process.pid, ...(await db.here()) }, 'counted')
  db.wait().catch(({ code }) => ctx.log.info({ event: 'given up', code }, 'given up'))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  ctx.log.info({ event: 'still', count: await db.count() }, 'still there while it stops')
}`,
        keeper: COUNTS,
      },
      files: FILES,
      config: { workers: { w: { after: ['keeper'] } } },
    })
    await herd.line({ worker: 'w', event: 'counted' })
    for (const [to, count] of [
      ['process', 4],
      ['thread', 6],
      ['shared', 8],
    ] as const) {
      const from = herd.mark()
      await herd.act('w', 'move', { args: { to } })
      t.ok(await herd.line({ worker: 'w', event: 'still', count: count - 1 }, from))
      t.match(await herd.line({ worker: 'w', event: 'counted' }, from), { count, made: 1, pid: herd.pid }, to)
      if (to === 'process')
        t.ok(await herd.line({ worker: 'w', event: 'given up', code: 'BYRE_WORKER_STOPPED' }, from))
    }
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

t.test('a run that has ended before its first use began holds nothing', async (t) => {
  const use = (input: number): string =>
    `ctx.use({ key: 'db', module: new URL('../lib/db.mjs', import.meta.url), input: ${input} })`
  const herd = await startHerd(t, {
    workers: {
      w: `
export async function run(ctx) {
  void ${use(1)}.catch(({ code }) => ctx.log.info({ event: 'given up', code }, 'given up'))
}`,
      later: `
export async function run(ctx) {
  await ${use(2)}
  ctx.log.info({ event: 'has it' }, 'has it')
}`,
    },
    files: FILES,
    config: { workers: { later: { activation: { topics: ['later'] }, restart: 'never' } } },
  })
  t.match(await herd.line({ worker: 'w', event: 'given up' }), { code: 'BYRE_WORKER_STOPPED' })
  await herd.act('later', 'wake')
  t.ok(await herd.line({ worker: 'later', event: 'has it' }), 'with another input: nobody has the key')
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('a dispose that throws is told with the key, and the herd ends in order', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      w: `
export async function run(ctx) {
  const { hello } = await ctx.use({ key: 'sticky', module: new URL('../lib/stuck.mjs', import.meta.url) })
  ctx.log.info({ event: 'hello', text: await hello() }, 'hello')
}`,
    },
    files: FILES,
    config: { workers: { w: { placement: 'process' } } },
  })
  t.ok(await herd.line({ event: 'hello', text: 'stuck' }))
  t.ok(await herd.line({ event: 'dispose-failed', resource: 'sticky', message: 'does not close' }))
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test(
  'timers of a value end with it, named; what it prints is bounded; a resource that crashes is named at the next start',
  async (t) => {
    const folder = herdFolder(t)
    const worker = (method: string): string => `
export async function run(ctx) {
  const ticks = await ctx.use({ key: 'ticks', module: new URL('../lib/ticks.mjs', import.meta.url) })
  ctx.log.info({ event: 'hello', text: await ticks.${method}() }, 'hello')
}`
    const options = { folder, files: FILES, config: { workers: { w: { placement: 'process' as const } } } }
    const herd = await startHerd(t, { ...options, workers: { w: worker('hello'), sibling: IDLE } })
    t.ok(
      await herd.line({
        event: 'output-held-back',
        resource: 'ticks',
        heldBack: (n: unknown) => Number(n) > 100,
      }),
    )
    t.match(await herd.line({ event: 'leftovers', resource: 'ticks' }), {
      timers: ['setInterval(ofTheValue)'],
    })
    t.same(await herd.stop(), { code: 0, signal: null })

    const crashed = await startHerd(t, {
      ...options,
      workers: { w: worker('abort'), sibling: IDLE },
      ready: false,
    })
    t.match(await crashed.exit(), { signal: 'SIGABRT' })
    const next = await startHerd(t, { ...options, workers: { w: worker('hello'), sibling: IDLE } })
    t.match(await next.line({ event: 'last-run' }), {
      worker: '(resource ticks)',
      certain: true,
      verdict: 'killed',
    })
    t.match(await next.worker('sibling'), { state: 'running' })
    t.ok(await next.line({ event: 'hello', text: 'ticking' }), 'nobody is quarantined')
    t.same(await next.stop(), { code: 0, signal: null })
  },
)

function withoutFolder(outcomes: unknown): unknown {
  return JSON.parse(JSON.stringify(outcomes).replaceAll(/\/tmp\/bh-\w+/g, ''))
}

// Hosted or alone: the same faults under `byre run`, with the same verdicts.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { SHARED_FILES } from './fleet.ts'
import { sourceOf } from './rows.ts'

leakGuard(t)
t.jobs = 2

interface Alone {
  readonly law: string
  readonly imports?: string
  readonly fault: string
  readonly code: number
  readonly verdict?: string
  readonly evidence?: object
  readonly log?: object
}

const ROWS: readonly Alone[] = [
  { law: 'a run that resolves ends the process with 0', fault: 'return', code: 0, verdict: 'done' },
  {
    law: 'a run that rejects ends the process with 1',
    fault: `throw new TypeError('no')`,
    code: 1,
    verdict: 'failed',
    evidence: { type: 'TypeError', message: 'no' },
  },
  {
    law: 'a stray throw ends the process with 1',
    fault: `setTimeout(() => { throw new Error('late') }, 1)`,
    code: 1,
    verdict: 'threw-stray',
    evidence: { message: 'late', via: 'uncaughtException' },
  },
  {
    law: 'an immediate that throws',
    fault: `setImmediate(() => { throw new Error('soon') })`,
    code: 1,
    verdict: 'threw-stray',
    evidence: { message: 'soon', via: 'uncaughtException' },
  },
  {
    law: 'an unhandled rejection',
    fault: `void Promise.reject(new Error('loose'))`,
    code: 1,
    verdict: 'threw-stray',
    evidence: { message: 'loose', via: 'unhandledRejection' },
  },
  {
    law: 'a rejection with undefined',
    fault: `void Promise.reject()`,
    code: 1,
    verdict: 'threw-stray',
    evidence: { code: 'ERR_UNHANDLED_REJECTION', message: /"undefined"/ }, // Node's own error for it
  },
  {
    law: 'an uncaught error reaches the own handler first, and is handled',
    fault: `
  const seen = []
  process.on('uncaughtException', (error, origin) => seen.push(error.message, origin))
  setImmediate(() => { throw new Error('thrown') })
  void Promise.reject(new Error('rejected'))
  await wait(20)
  if (seen.join() !== 'rejected,unhandledRejection,thrown,uncaughtException') throw new Error(seen.join())
  return`,
    code: 0,
    verdict: 'done',
    log: { event: 'error-handled', message: 'thrown' },
  },
  {
    law: 'a domain catches what was entered in it',
    fault: `
  const { default: domain } = await import('node:domain')
  const seen = []
  domain.create().on('error', (error) => seen.push(error.message)).run(() => setTimeout(() => { throw new Error('entered') }, 1))
  await wait(20)
  if (seen.join() !== 'entered') throw new Error(seen.join())
  return`,
    code: 0,
    verdict: 'done',
  },
  {
    law: 'process.exit(0) is done',
    fault: `process.exit(0)`,
    code: 0,
    verdict: 'done',
    evidence: { code: 0 },
  },
  {
    law: 'process.exit(3) is a failure',
    fault: `process.exit(3)`,
    code: 1,
    verdict: 'failed',
    evidence: { code: 3 },
  },
  {
    law: 'a swallowed process.exit',
    fault: `try { process.exit(3) } catch {}`,
    code: 1,
    verdict: 'failed',
    evidence: { code: 3 },
  },
  {
    law: 'publishing to system.> is refused',
    fault: `await ctx.bus.publish('system.x', 1)`,
    code: 1,
    verdict: 'failed',
    evidence: { code: 'BYRE_BUS_TOPIC_RESERVED' },
  },
  {
    law: 'a throw in ctx.every',
    fault: `ctx.every(10, () => { throw new Error('beat') })`,
    code: 1,
    verdict: 'threw-stray',
    evidence: { via: 'ctx.every' },
  },
  {
    law: 'console output is log lines',
    fault: `console.log('hello'); return`,
    code: 0,
    verdict: 'done',
    log: { worker: 'bad', msg: 'hello' },
  },
  {
    law: 'a request to itself is answered',
    fault: `
  void (async () => { for await (const m of ctx.bus.subscribe('ask')) await m.reply(m.payload + 1) })()
  if (await ctx.bus.request('ask', 1) !== 2) throw new Error('wrong')
  return`,
    code: 0,
    verdict: 'done',
  },
  {
    law: 'env holds the environment and its own',
    fault: `if (ctx.env.GO !== 'now' || ctx.env.EXTRA !== 'e' || process.env.EXTRA !== 'e') throw new Error(JSON.stringify([ctx.env.EXTRA, process.env.EXTRA])); return`,
    code: 0,
    verdict: 'done',
  },
]

for (const row of ROWS)
  void t.test(`alone: ${row.law}`, async (t) => {
    const herd = await startHerd(t, {
      run: 'bad',
      ready: false,
      files: SHARED_FILES,
      workers: {
        bad: sourceOf({ name: 'bad', law: '', expect: {}, fault: row.fault, imports: row.imports ?? '' }),
        other: `throw new Error('not hosted here')`,
      },
      config: { workers: { bad: { restart: 'never', env: { GO: 'now', EXTRA: 'e' } } } },
    })
    t.same(await herd.exit(), { code: row.code, signal: null })
    await herd.kill()
    if (row.verdict !== undefined && row.code !== 0)
      t.match(herd.matching({ event: 'exit' }), [
        { worker: 'bad', verdict: row.verdict, evidence: row.evidence ?? {} },
      ])
    if (row.log !== undefined) await herd.line(row.log as never)
    t.same(herd.matching({ worker: 'other' }), [])
  })

t.test('alone: restarts, then SIGTERM ends it with 0', async (t) => {
  const herd = await startHerd(t, {
    run: 'bad',
    files: SHARED_FILES,
    workers: {
      bad: `import { stopped } from '../lib/go.mjs'\nlet runs = 0\nexport const run = async (ctx) => { if (runs++ === 0) throw new Error('once'); await stopped(ctx) }`,
    },
  })
  t.match(await herd.untilWorker('bad', (worker) => worker.state === 'running' && worker.restarts === 1), {
    failures: 1,
  })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('alone: a worker that gives up at its limit ends the process with 1', async (t) => {
  const herd = await startHerd(t, {
    run: 'bad',
    ready: false,
    workers: { bad: `export const run = async () => { throw new Error('always') }` },
    config: { workers: { bad: { limit: { failures: 2, within: '5m' }, backoff: { base: '10ms' } } } },
  })
  t.same(await herd.exit(), { code: 1, signal: null })
})

t.test('alone: a lazy worker is woken by its period', async (t) => {
  const herd = await startHerd(t, {
    run: 'bad',
    workers: {
      bad: `export const run = async (ctx) => ctx.log.info({ event: 'tick', by: ctx.wake.by }, 'tick')`,
    },
    config: { workers: { bad: { activation: { every: '50ms' } } } },
  })
  t.match(await herd.line({ event: 'tick' }), { by: 'tick' })
  await herd.untilWorker('bad', (worker) => worker.wakes >= 3)
  t.same(await herd.stop(), { code: 0, signal: null })
})

// `inside: true`: byre's code in the process of a script gives what only code inside can: stalls, profiles, heap figures,
// V8's fatal report. That the script does not notice is in plain.test.ts.
import t from 'tap'
import type { Test } from 'tap'
import type { HerdConfig, WorkerConfig } from '../../src/config/types.ts'
import { ask } from '../../src/control/client.ts'
import type { ProfileReport } from '../../src/herd/status.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

const GRIND = `function grind(ms) { for (const end = Date.now() + ms; Date.now() < end; ); }\n`

/** The same source twice: `inside` and `outside`. */
function both(
  t: Test,
  source: string,
  more: WorkerConfig = {},
  top: Omit<HerdConfig, 'name' | 'workers'> = {},
): Promise<Herd> {
  const script = { script: './s.cjs', module: undefined, placement: 'process', ...more }
  return startHerd(t, {
    files: { 's.cjs': GRIND + source },
    config: {
      ...top,
      workers: { inside: { ...script, inside: true } as never, outside: script as never },
    },
  })
}

t.test('a script that holds its loop is named, and goes on; its first turn is no stall', async (t) => {
  const herd = await both(
    t,
    `grind(1500); console.log('loaded')
    setTimeout(() => { grind(2500); console.log('held') }, 300)
    setInterval(() => {}, 1e6)`,
  )
  await herd.line({ worker: 'outside', msg: 'held' })
  await herd.line({ worker: 'inside', msg: 'held' })
  t.match(await herd.line({ event: 'stall' }), { worker: 'inside', placement: 'process', by: 'placement' })
  t.ok(Number((await herd.line({ event: 'stall-over', worker: 'inside' }))['blockedMs']) >= 1000)
  t.equal(herd.matching({ event: 'stall' }).length, 1, 'of the second hold of the one with byre inside')
  t.match(await herd.worker('inside'), { state: 'running', restarts: 0, stalls: { count: 1 } })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test("with onStall: 'eject' it is ended, stalled, and started again", async (t) => {
  const source = `const { existsSync, writeFileSync } = require('node:fs')
    if (!existsSync('held')) setTimeout(() => { writeFileSync('held', ''); grind(3_600_000) }, 300)
    setInterval(() => {}, 1e6)`
  const script = { script: './s.cjs', module: undefined, placement: 'process', inside: true }
  const herd = await startHerd(t, {
    files: { 's.cjs': GRIND + source },
    config: { workers: { w: { ...script, onStall: 'eject', stopTimeout: '300ms' } as never } },
  })
  const ejected = await herd.untilWorker('w', (w) => w.restarts === 1 && w.state === 'running')
  t.match(ejected, { lastExit: { verdict: 'stalled', reason: /blocked the loop of its process/ } })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('its loop is profiled and its heap is shown; of one without, the reason why not', async (t) => {
  const busy = `setInterval(() => grind(10), 20); const kept = []; setInterval(() => kept.push(new Array(1000).fill({})), 1)`
  const herd = await both(t, busy, {}, { sampler: { interval: '200ms' } })
  const profile = async (worker: string): Promise<{ status: number; body: string }> =>
    ask(herd.socketPath, {
      method: 'POST',
      path: '/profile',
      body: JSON.stringify({ worker, windowMs: 500 }),
      timeoutMs: 20_000,
    })
  const answer = await profile('inside')
  t.equal(answer.status, 200, answer.body)
  const report = JSON.parse(answer.body) as ProfileReport
  t.equal(report.workers[0]?.worker, 'inside')
  t.ok((report.workers[0]?.self ?? 0) > 0.5 * report.total)
  t.match(await profile('outside'), { status: 400, body: /only in a process and with inside: true/ })
  const { sample } = await herd.untilWorker('inside', (w) => w.sample?.heap !== undefined)
  t.ok(Number(sample?.heap?.usedBytes) > 1_000_000)
  const outside = await herd.untilWorker('outside', (w) => (w.sample?.rssBytes ?? 0) > 0)
  t.match(outside.sample?.unavailable, { heap: /with inside: true/ })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test("out of memory has V8's report; without byre inside, the tail of stderr", async (t) => {
  const oom = `const a = []; for (;;) a.push(new Array(1000).fill(Math.random()))`
  const herd = await both(t, oom, { memoryMax: '32MiB', restart: 'never' })
  const inside = await herd.untilWorker('inside', (w) => w.state === 'stopped')
  t.match(inside.lastExit, { verdict: 'oom-heap', evidence: { report: { heapUsedBytes: Number } } })
  const outside = await herd.untilWorker('outside', (w) => w.state === 'stopped')
  t.match(outside.lastExit, { verdict: 'oom-heap', evidence: { stderr: /JavaScript heap out of memory/ } })
  t.notOk('report' in (outside.lastExit?.evidence ?? {}))
  t.same(await herd.stop(), { code: 0, signal: null })
})

// The consequences of a stall: by default only a log line; with onStall: 'eject' a move; and when the loop is never released,
// the next start knows which worker blocked it.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { herdFolder, startHerd } from '../../helpers/herd.ts'
import { leakGuard } from '../../helpers/leak-guard.ts'
import type { Act } from './acts.ts'
import { ACTS } from './acts.ts'
import { startBlockers, trigger } from './herd.ts'

leakGuard(t)
t.jobs = 2

const loop = ACTS['hot-loop'] as Act
const ENDLESS: Act = {
  kind: 'javascript',
  block: 'function forever() { for (;;); }\nexport const block = () => forever()',
}

t.test(
  "with onStall: 'eject' a worker that blocked the shared loop continues in a process of its own",
  async (t) => {
    const herd = await startBlockers(t, { bad: loop }, { worker: { onStall: 'eject' } })
    await trigger(herd, 'bad')
    await herd.line({
      event: 'moved',
      worker: 'bad',
      from: 'shared',
      to: 'process',
      why: /blocked the loop for/,
    })
    const bad = await herd.untilWorker('bad', (w) => w.placement === 'process' && w.state === 'running')
    t.match(bad, { moved: { by: 'eject' }, stalls: { count: 1 }, failures: 0 })
    t.match(await herd.worker('ticker'), { state: 'running', restarts: 0, placement: 'shared' })
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

t.test('a run that ends with its stall is not started again, and its next run is in a process', async (t) => {
  const brief = `
export async function run(ctx) {
  await new Promise((done) => setTimeout(done, 100))
  const end = Date.now() + 1800
  while (Date.now() < end);
}`
  const herd = await startHerd(t, {
    workers: { brief },
    config: { workers: { brief: { onStall: 'eject', activation: { topics: ['never'] } } } },
    args: ['--log-level', 'debug'],
  })
  await herd.line({ event: 'stall-watch' })
  await herd.act('brief', 'wake')
  await herd.line({ event: 'moved', worker: 'brief', from: 'shared', to: 'process' })
  t.match(await herd.worker('brief'), { state: 'dormant', wakes: 1, placement: 'process' })
  await herd.act('brief', 'wake')
  await herd.untilWorker('brief', (w) => w.state === 'running' && w.pid !== herd.pid)
  await herd.stop()
})

t.test('a worker that blocks the loop while it is stopped stays stopped', async (t) => {
  const last = `
export async function run(ctx) {
  await new Promise((done) => ctx.signal.addEventListener('abort', done))
  setTimeout(() => { const end = Date.now() + 1800; while (Date.now() < end); }, 1)
  await new Promise((done) => setTimeout(done, 300))
}`
  const herd = await startHerd(t, {
    workers: { last },
    config: { workers: { last: { onStall: 'eject' } } },
    args: ['--log-level', 'debug'],
  })
  await herd.line({ event: 'stall-watch' })
  await herd.act('last', 'stop')
  await herd.line({ event: 'stall-over', worker: 'last' })
  await herd.line({ event: 'moved', worker: 'last', to: 'process' })
  await herd.untilWorker('last', (w) => w.state === 'stopped')
  t.match(await herd.worker('last'), { wakes: 1, restarts: 0 })
  await herd.stop()
})

t.test('a herd that is stopped right after a stall exits cleanly', async (t) => {
  const brief: Act = {
    kind: 'javascript',
    block: 'export const block = () => { const end = Date.now() + 2500; while (Date.now() < end); }',
  }
  const herd = await startBlockers(t, { bad: brief })
  await trigger(herd, 'bad')
  await herd.line({ event: 'stall', worker: 'bad' })
  herd.signal('SIGTERM') // handled as soon as the loop is free
  t.same(await herd.exit(), { code: 0, signal: null })
})

t.test(
  'a process that is killed while a worker blocks its loop leaves the verdict stalled, with the place',
  async (t) => {
    const folder = herdFolder(t)
    const herd = await startBlockers(t, { bad: ENDLESS }, { folder })
    await trigger(herd, 'bad')
    await herd.line({ event: 'stall', worker: 'bad' })
    await herd.kill()
    const next = await startHerd(t, { folder })
    t.match(next.matching({ event: 'last-run' }), [{ worker: 'bad', certain: true, verdict: 'stalled' }])
    t.match(await next.worker('bad'), {
      state: 'quarantined',
      lastExit: {
        verdict: 'stalled',
        reason: /blocked the loop for .* in forever \(.*workers\/bad\.mjs:2\)/,
        evidence: { by: 'stack', function: 'forever', line: 2, unavailable: { signal: String } },
      },
    })
    t.match(await next.worker('ticker'), { state: 'running' })
    await next.stop()
    const third = await startHerd(t, { folder })
    t.same(third.matching({ event: 'last-run' }), [], 'it is reported once')
    await third.stop()
  },
)

t.test(
  "an endless loop with onStall: 'eject' ends the process, and the next start moves the worker",
  async (t) => {
    const folder = herdFolder(t)
    const herd = await startBlockers(t, { bad: ENDLESS }, { folder, worker: { onStall: 'eject' } })
    await trigger(herd, 'bad')
    const last = await herd.line({ event: 'stall-ended', worker: 'bad' })
    t.ok(Number(last['blockedMs']) >= 10_000)
    t.match(await herd.exit(), { signal: 'SIGKILL' })
    const next = await startHerd(t, { folder })
    t.match(await next.worker('bad'), {
      state: 'running',
      placement: 'process',
      moved: { by: 'eject' },
      lastExit: { verdict: 'stalled' },
    })
    await next.stop()
  },
)

t.test('with detect: false there is no thread and no line', async (t) => {
  const threads = (pid: number): string[] =>
    readdirSync(`/proc/${pid}/task`).map((tid) => readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8'))
  const off = await startBlockers(t, { bad: loop }, { watched: false })
  const on = await startBlockers(t, { bad: loop })
  t.equal(threads(on.pid).length, threads(off.pid).length + 1)
  await trigger(off, 'bad')
  await off.line({ event: 'unblock' })
  await off.status()
  t.same(off.matching({ event: 'stall' }), [])
  t.same(
    readdirSync(join(off.folder, 'state/h')).filter((name) => name.includes('stall')),
    [],
  )
  await off.stop()
  await on.stop()
})

t.test('a process that is debugged is not watched', async (t) => {
  const herd = await startHerd(t, {
    workers: { one: 'export const run = () => new Promise(() => {})' },
    config: { workers: { one: { stopTimeout: '100ms' } } },
    nodeArgs: ['--inspect=127.0.0.1:0'],
  })
  await herd.line({ event: 'stall-watch-off' })
  await herd.stop()
})

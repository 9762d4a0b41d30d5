// Wishes that overtake one another: a command, a message, a reload or the end of the herd comes while a worker is still
// stopping for an earlier one. The last wish counts, nothing starts behind it, and no run is lost sight of.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import type { Herd, HerdOptions, Owner } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

/** Stops when the file `go` is there, and tells of each step. */
const SLOW = `
import { existsSync } from 'node:fs'
const go = new URL('./go', import.meta.url)
export async function run(ctx) {
  ctx.log.info({ event: 'up', config: ctx.config, pid: process.pid }, 'up')
  const fails = ctx.bus.subscribe('fail', { signal: ctx.signal })
  await fails.ready
  ctx.log.info({ event: 'hears' }, 'hears')
  for await (const _ of fails) setTimeout(() => { throw new Error('stray') })
  ctx.log.info({ event: 'ending' }, 'ending')
  while (!existsSync(go)) await new Promise((resolve) => setTimeout(resolve, 5))
  ctx.log.info({ event: 'gone' }, 'gone')
}`
/** Publishes what it is asked for through its config file: one message for the sleeper each 20 ms. */
const FEED = `
export async function run(ctx) {
  ctx.every('20ms', () => ctx.bus.publish('feed', { at: Date.now() }))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
const STAYS = `
export async function run(ctx) {
  ctx.log.info({ event: 'up', config: ctx.config }, 'up')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
const lazy = { activation: { topics: ['feed'] }, stopTimeout: '60s' } as const

async function sleeping(t: Owner, more: HerdOptions['config'] = {}): Promise<Herd> {
  const herd = await startHerd(t, {
    workers: { slow: SLOW, feed: FEED, other: STAYS },
    config: { ...more, workers: { slow: { ...lazy, ...more.workers?.['slow'] } } },
  })
  await herd.line({ event: 'hears', worker: 'slow' })
  await herd.act('slow', 'sleep')
  await herd.line({ event: 'ending', worker: 'slow' })
  // Something is kept for it, so that it would be woken as soon as it is dormant.
  await herd.untilWorker('slow', (worker) => worker.state === 'stopping' && (worker.queued ?? 0) > 0)
  return herd
}

const letGo = (herd: Herd): void => writeFileSync(join(herd.folder, 'workers/go'), '')
const starts = (herd: Herd, worker: string): number => herd.matching({ event: 'up', worker }).length

t.test(
  'a reload that removes a worker which is falling asleep removes it, and ends nobody else',
  async (t) => {
    const herd = await sleeping(t)
    herd.configure({}, { feed: FEED, other: STAYS })
    herd.signal('SIGHUP')
    await herd.line({ event: 'reloaded' })
    t.match(await herd.act('slow', 'start'), { status: 404 }, 'nobody can start it any more')
    letGo(herd)
    await herd.until('slow to be gone', (s) => s.workers.every((w) => w.name !== 'slow'))
    t.equal(starts(herd, 'slow'), 1)
    t.match(await herd.worker('other'), { state: 'running', restarts: 0, wakes: 1 })
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

for (const placement of ['shared', 'process'] as const)
  t.test(
    `a reload that changes a worker which is falling asleep: one new run, in ${placement}`,
    async (t) => {
      const herd = await sleeping(t, { workers: { slow: { placement, config: 1 } } })
      const slow = { ...lazy, placement, config: 2 }
      herd.configure({ workers: { slow } }, { slow: SLOW, feed: FEED, other: STAYS })
      herd.signal('SIGHUP')
      await herd.line({ event: 'reloaded' })
      letGo(herd)
      await herd.line({ event: 'up', worker: 'slow', config: 2 })
      await herd.untilWorker('slow', (worker) => worker.state === 'running')
      t.equal(starts(herd, 'slow'), 2, 'the first run and one of the new entry')
      await herd.act('slow', 'stop')
      await herd.untilWorker('slow', (worker) => worker.state === 'stopped')
      // A run that was lost sight of would stay; the others end some milliseconds after their last word.
      for (const { pid } of herd.matching({ event: 'up', worker: 'slow' }))
        while (placement === 'process' && existsSync(`/proc/${String(pid)}`))
          await new Promise((resolve) => setTimeout(resolve, 5))
      t.same(await herd.stop(), { code: 0, signal: null })
    },
  )

t.test('commands to a worker whose entry is being changed are for the new entry', async (t) => {
  for (const [action, after] of [
    ['restart', 'running'],
    ['start', 'running'],
    ['stop', 'stopped'],
  ] as const) {
    const config = (n: number) => ({ workers: { slow: { stopTimeout: '60s', config: n } } as const })
    const herd = await startHerd(t, { workers: { slow: SLOW, other: STAYS }, config: config(1) })
    herd.configure(config(2), { slow: SLOW, other: STAYS })
    herd.signal('SIGHUP')
    await herd.line({ event: 'ending', worker: 'slow' })
    t.match(await herd.act('slow', action), { status: 202 })
    letGo(herd)
    await herd.untilWorker('slow', (worker) => worker.state === after)
    if (after === 'running') await herd.line({ event: 'up', worker: 'slow', config: 2 })
    const runs = herd.matching({ event: 'up', worker: 'slow' }).map((line) => line['config'])
    t.same(runs, after === 'running' ? [1, 2] : [1], action)
    t.same(await herd.stop(), { code: 0, signal: null })
  }
})

t.test(
  'a message kept for a worker that falls asleep starts nothing once the herd is being stopped',
  async (t) => {
    const herd = await sleeping(t)
    herd.signal('SIGTERM')
    await herd.line({ event: 'draining' })
    letGo(herd)
    t.same(await herd.exit(), { code: 0, signal: null })
    t.equal(starts(herd, 'slow'), 1)
    t.match(herd.matching({ event: 'stopped' }).at(-1), { unstopped: [] })
  },
)

t.test('a worker stopped by hand while it falls asleep stays stopped', async (t) => {
  const herd = await sleeping(t)
  t.match(await herd.act('slow', 'stop'), { status: 202 })
  letGo(herd)
  await herd.untilWorker('slow', (worker) => worker.state === 'stopped')
  await herd.line({ event: 'gone', worker: 'slow' })
  t.match(await herd.act('other', 'restart'), { status: 202 })
  await herd.untilWorker('other', (worker) => worker.state === 'running' && worker.restarts === 1)
  t.match(await herd.worker('slow'), { state: 'stopped', wakes: 1 })
  await herd.stop()
})

t.test(
  'a worker started by hand while its failed run ends starts, whatever its restart policy',
  async (t) => {
    const caller = `export async function run(ctx) { await ctx.bus.publish('fail', 1); await new Promise((r) => ctx.signal.addEventListener('abort', r)) }`
    const herd = await startHerd(t, {
      workers: { slow: SLOW, caller },
      config: { workers: { slow: { restart: 'never', stopTimeout: '60s' }, caller: { after: ['slow'] } } },
    })
    await herd.line({ event: 'ending', worker: 'slow' })
    t.match(await herd.act('slow', 'start'), { status: 202, body: { state: 'stopping' } })
    letGo(herd)
    await herd.untilWorker('slow', (worker) => worker.state === 'running' && worker.restarts === 1)
    t.match(await herd.worker('slow'), { lastExit: { verdict: 'threw-stray' } }, 'its end stays on record')
    await herd.stop()
  },
)

t.test('a reload under way when the herd is stopped starts nobody', async (t) => {
  const config = { workers: { slow: { stopTimeout: '60s' } } } as const
  const herd = await startHerd(t, { workers: { slow: SLOW, other: STAYS }, config })
  herd.configure(
    { workers: { slow: { ...config.workers.slow, config: 2 }, other: { config: 2 } } },
    { slow: SLOW, other: STAYS, added: STAYS },
  )
  const signalled = herd.mark()
  herd.signal('SIGHUP')
  herd.signal('SIGTERM')
  await herd.line({ event: 'draining' })
  const mark = herd.mark()
  await herd.line({ event: 'ending', worker: 'slow' })
  // the config has been evaluated, and came too late; or the kernel delivered the stop first
  await herd.line({ event: /^reload-(refused|failed)$/ }, signalled)
  letGo(herd)
  t.same(await herd.exit(), { code: 0, signal: null })
  t.same(herd.matching({ event: 'up' }, mark), [], 'no run begins')
  t.match(herd.matching({ event: 'stopped' }).at(-1), { unstopped: [] })
})

t.test('a change that waits for its worker to stop is not made once the herd is being stopped', async (t) => {
  const config = (n: number) => ({ workers: { slow: { stopTimeout: '60s', config: n } } as const })
  const herd = await startHerd(t, { workers: { slow: SLOW, other: STAYS }, config: config(1) })
  herd.configure(config(2), { slow: SLOW, other: STAYS })
  herd.signal('SIGHUP')
  await herd.line({ event: 'ending', worker: 'slow' })
  herd.signal('SIGTERM')
  await herd.line({ event: 'draining' })
  letGo(herd)
  t.same(await herd.exit(), { code: 0, signal: null })
  t.equal(starts(herd, 'slow'), 1)
})

t.test('byre run goes on with its worker after a reload', async (t) => {
  const config = (n: number) => ({ workers: { only: { config: n } } })
  const herd = await startHerd(t, { workers: { only: STAYS }, config: config(1), run: 'only' })
  herd.configure(config(2), { only: STAYS })
  herd.signal('SIGHUP')
  await herd.line({ event: 'up', worker: 'only', config: 2 })
  await herd.untilWorker('only', (worker) => worker.state === 'running')
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test(
  "an error of byre's own code while the herd starts ends the process, also when the drain fails",
  async (t) => {
    // A worker that breaks what the start of the next one and the drain need.
    const breaker = `export async function run() { Map.prototype.keys = Map.prototype.values = () => { throw new Error('broken') } }`
    const waits = `export async function run() { await new Promise(() => {}) }`
    const herd = await startHerd(t, {
      workers: { breaker, waits },
      config: { workers: { waits: { ready: 'call', after: ['breaker'] }, breaker: {} } },
      ready: false,
    })
    t.match(await herd.exit(30_000), { code: 70 })
  },
)

// SIGHUP: only the workers whose entry changed are touched; what cannot be applied keeps the old config.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { WorkerStatus } from '../../src/herd/status.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

const STAYS = `
export async function run(ctx) {
  ctx.log.info({ event: 'config', config: ctx.config, reason: 'started' }, 'config')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  ctx.log.info({ event: 'end', kind: ctx.signal.reason.kind }, 'end')
}`
const workers = { kept: STAYS, changed: STAYS, removed: STAYS, lazy: STAYS }
const config = { workers: { changed: { config: { n: 1 } }, lazy: { activation: { topics: ['wake.lazy'] } } } }

/** What tells one run of a worker from another. */
const identity = ({ startedAt, readyAt, wakes, restarts, failures, state }: WorkerStatus): object => ({
  startedAt,
  readyAt,
  wakes,
  restarts,
  failures,
  state,
})

async function reload(herd: Herd): Promise<void> {
  const from = herd.mark()
  herd.signal('SIGHUP')
  await herd.line({ event: /^reload(ed|-failed|-refused)$/ }, from)
}

t.test('a reload adds, removes and changes one worker without touching the others', async (t) => {
  const herd = await startHerd(t, { workers, config })
  const before = await herd.status()
  herd.configure(
    { workers: { changed: { config: { n: 2 } }, lazy: { activation: { topics: ['wake.lazy'] } } } },
    { kept: STAYS, changed: STAYS, lazy: STAYS, added: STAYS },
  )
  await reload(herd)
  t.match(await herd.line({ event: 'reloaded' }), {
    added: ['added'],
    removed: ['removed'],
    changed: ['changed'],
  })
  await herd.untilWorker('added', (worker) => worker.state === 'running')
  await herd.line({ event: 'config', worker: 'changed', config: { n: 2 } })
  const after = await herd.until('removed to be gone', (s) =>
    s.workers.some((w) => w.name === 'removed') ? undefined : s,
  )
  for (const name of ['kept', 'lazy']) {
    const [was, is] = [before, after].map((s) => s.workers.find((w) => w.name === name)!)
    t.same(identity(is!), identity(was!), name)
  }
  t.equal(after.pid, before.pid)
  t.same(
    herd
      .matching({ event: 'end' })
      .map((line) => `${String(line['worker'])} ${String(line['kind'])}`)
      .toSorted(),
    ['changed reload', 'removed reload'],
  )
  t.equal(after.workers.find((w) => w.name === 'changed')?.failures, 0)
  await t.test('reloading the same again touches nobody', async (t) => {
    await reload(herd)
    t.match(herd.matching({ event: 'reloaded' }).at(-1), { added: [], removed: [], changed: [] })
    const again = await herd.status()
    t.same(again.workers.map(identity), after.workers.map(identity))
  })
  await herd.stop()
})

t.test('a change that needs a new process is refused with its path and nothing is applied', async (t) => {
  const herd = await startHerd(t, { workers, config })
  const before = await herd.status()
  const refused: [string, object][] = [
    ['name', { name: 'other' }],
    ['bus', { bus: 'redis://127.0.0.1:1' }],
    ['http', { http: { listen: '127.0.0.1:0' } }],
  ]
  for (const [path, change] of refused) {
    herd.configure({ ...config, ...change }, { ...workers, added: STAYS })
    await reload(herd)
    const line = herd.matching({ event: /^reload/ }).at(-1)
    t.match(line, { event: 'reload-refused', problems: [{ path: new RegExp(`^${path}`) }] }, path)
  }
  t.same((await herd.status()).workers.map(identity), before.workers.map(identity))
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('a broken config keeps the old one running and names every problem', async (t) => {
  const herd = await startHerd(t, { workers, config })
  const before = await herd.status()
  const broken: [string, string, RegExp][] = [
    ['no module', 'export default {{', /SyntaxError|Unexpected/],
    ['a throw', `throw new Error('config threw')`, /config threw/],
    [
      'two problems',
      `export default { name: 'h', workers: { kept: { module: './workers/kept.mjs', restrat: 'x' }, gone: { module: './gone.mjs' } } }`,
      /restrat[^]*gone|gone[^]*restrat/,
    ],
    ['an exit', `process.exit(0)`, /./],
    ['an endless await', `await new Promise(() => {})`, /./],
    ['no default', `export const x = 1`, /default/],
  ]
  for (const [what, text, message] of broken) {
    writeFileSync(join(herd.folder, 'byre.config.mjs'), text)
    await reload(herd)
    const line = herd.matching({ event: /^reload/ }).at(-1)
    t.match(line, { event: 'reload-failed', message, level: 50 }, what)
    t.notOk('stack' in line!, `${what}: no stack for a mistake in the config`)
  }
  t.same((await herd.status()).workers.map(identity), before.workers.map(identity))
  herd.configure(config, workers)
  await reload(herd)
  t.match(
    herd.matching({ event: /^reload/ }).at(-1),
    { event: 'reloaded', changed: [] },
    'a mended config is taken',
  )
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('signals that come in a heap are one reload after the other, and the last config wins', async (t) => {
  const herd = await startHerd(t, { workers, config })
  for (let n = 2; n <= 5; n++) {
    herd.configure({ workers: { ...config.workers, changed: { config: { n } } } }, workers)
    herd.signal('SIGHUP')
  }
  await herd.line({ event: 'config', worker: 'changed', config: { n: 5 } })
  await herd.untilWorker('changed', (worker) => worker.state === 'running')
  t.match(await herd.worker('kept'), { restarts: 0, wakes: 1 })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('a quarantined worker whose entry changed starts anew; a stopped one stays stopped', async (t) => {
  const bad = `export const run = async (ctx) => { if (ctx.config !== 'good') throw new Error('bad config'); await new Promise((r) => ctx.signal.addEventListener('abort', r)) }`
  const limit = { limit: { failures: 1, within: '5m' } } as const
  const herd = await startHerd(t, {
    workers: { bad, idle: STAYS },
    config: { workers: { bad: { ...limit, config: 'bad' }, idle: {} } },
  })
  await herd.untilWorker('bad', (worker) => worker.state === 'quarantined')
  await herd.act('idle', 'stop')
  await herd.untilWorker('idle', (worker) => worker.state === 'stopped')
  herd.configure(
    { workers: { bad: { ...limit, config: 'good' }, idle: { config: 2 } } },
    { bad, idle: STAYS },
  )
  await reload(herd)
  await herd.untilWorker('bad', (worker) => worker.state === 'running')
  t.match(await herd.worker('idle'), { state: 'stopped' })
  await herd.stop()
})

t.test(
  'a reload may turn a sleeper into an eager worker, and leaves what was stopped by hand stopped',
  async (t) => {
    const stays = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
    const workers = { sleeper: stays, stopped: stays }
    const activation = { topics: ['wake.>'] }
    const herd = await startHerd(t, {
      workers,
      config: { workers: { sleeper: { activation }, stopped: { activation } } },
    })
    await herd.act('stopped', 'stop')
    herd.configure({ workers: { stopped: { activation, config: { new: true } } } }, workers)
    const mark = herd.mark()
    herd.signal('SIGHUP')
    await herd.line({ event: 'reloaded' }, mark)
    await herd.untilWorker('sleeper', (worker) => worker.state === 'running')
    t.equal((await herd.worker('stopped')).state, 'stopped')
  },
)

t.test('what the config prints at a reload is in the log', async (t) => {
  const herd = await startHerd(t, { workers, config, configPreamble: `console.log('a banner')` })
  t.same(herd.matching({ raw: 'a banner' }).length, 1)
  await reload(herd)
  await herd.line({ event: 'config-output', text: 'a banner\n' })
  t.same(await herd.stop(), { code: 0, signal: null })
})
